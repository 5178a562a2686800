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

KEEP_ALIVE_SECONDS: Final = 15.0
"""Silence on a stream after which a comment is sent: it holds proxies open and finds out clients
that have left."""


def event(message: bytes) -> bytes:
    """One event that carries `message`, encoded JSON without line breaks."""
    return b"event: message\ndata: %b\n\n" % message
