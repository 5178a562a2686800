"""A response of server-sent events that is over when its client has left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mcp_mount.transports.attending import Departure

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Without them proxies keep events back."""


class EventResponse(Response):
    """A response of events.

    Starlette's leaves the iterator to the garbage collector when the client leaves while an event
    is sent: what it holds would be closed later, in a task of its own.

    Args:
        events: The events, encoded; closed in any case.
        departure: Watches for the departure of the client.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], departure: Departure) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._departure = departure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            # ASGI 2.4: whoever sends to a client that has left gets an OSError.
            with suppress(OSError):
                async with aclosing(self._events):  # type: ignore[type-var]
                    await send(start)
                    async for event in self._events:
                        if self._departure.left:
                            return
                        await send({"type": "http.response.body", "body": event, "more_body": True})
                    await send({"type": "http.response.body", "body": b""})
        finally:
            self._departure.end_watch()
