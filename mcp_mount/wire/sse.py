"""Server-Sent Events framing (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from typing import Final

HEADERS: Final = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache"),
    # Proxies such as nginx would hold events back (2026-07-28, streamable HTTP).
    ("x-accel-buffering", "no"),
]

KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment: it holds proxies open and finds out clients that have left."""

PRIMING: Final = b"data: \n\n"
"""An event that only has an id, for its client to resume from (2025-11-25)."""


class RetryEvent(bytes):
    """An event after which the connection ends, though the stream goes on elsewhere."""


def retry_event(retry: float) -> RetryEvent:
    """The event that tells a client to come back, after `retry` seconds."""
    return RetryEvent(b"retry: %d\ndata: \n\n" % round(retry * 1000))


def event(message: bytes) -> bytes:
    """One event that carries `message`, encoded JSON without line breaks."""
    return b"event: message\ndata: %b\n\n" % message
