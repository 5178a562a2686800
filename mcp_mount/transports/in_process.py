"""A request to an ASGI application of this process, as a web server sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, TypeAlias

from mcp_mount.transports.scopes import Receive, Scope, Send

Application: TypeAlias = Callable[[Scope, Receive, Send], Any]

Message: TypeAlias = MutableMapping[str, Any]


class ClientGone(OSError):
    """What an application meets that sends something to a client that has left."""


class ApplicationExchange:
    """One request and its response, as the application has them (ASGI 3.0, "HTTP").

    The application is never cancelled: as behind a web server, it hears that its client has left,
    and may have something to do after its response. Of a response that has several parts it gets
    no further than the reader, who calls `go_on`.

    Args:
        body: The body of the request.
    """

    def __init__(self, body: bytes = b"") -> None:
        self._body: bytes | None = body
        self._left = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self, application: Application, scope: Scope) -> None:
        """Have the application answer; `ended` is called in any case.

        Args:
            application: The application.
            scope: The scope of the request.

        Raises:
            Exception: What the application raises.
        """
        try:
            await application(scope, self._receive, self._send)
        finally:
            self.ended()

    def sent(self, message: Message) -> None:
        """Take a message of the application."""
        raise NotImplementedError

    def ended(self) -> None:
        """Note that the application has ended."""

    async def next_body(self) -> Message | None:
        """The next message with a part of the body; None if all of it has been read."""
        if self._body is None:
            return None
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    def go_on(self) -> None:
        """Let the application send the next part of its response. On the loop."""
        self._room.set()

    def leave(self) -> None:
        """Tell the application that its client has left. On the loop."""
        self._left.set()
        self._room.set()

    async def departure(self) -> None:
        """Wait until the client has left."""
        await self._left.wait()

    async def _receive(self) -> Message:
        message = await self.next_body()
        if message is None:
            await self.departure()
            return {"type": "http.disconnect"}
        return message

    async def _send(self, message: Message) -> None:
        await self._room.wait()
        if self._left.is_set():
            # ASGI 2.4: an application that sends without end must end.
            raise ClientGone("The client has left")
        if message["type"] == "http.response.body":
            self._room.clear()
        self.sent(message)
