"""The ASGI driver: coroutine handlers on the server's loop, plain functions on threads."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    MutableMapping,
    Sequence,
)
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from starlette.requests import Request as StarletteRequest

from mcp_mount.protocol import sse
from mcp_mount.protocol.calls import Call
from mcp_mount.protocol.exchange import Exchange, Protocol
from mcp_mount.protocol.messages import Reply, Request
from mcp_mount.transports.streams import PLAIN, AsyncStream, Runner, silence

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


RUNNER: Final = "mcp_mount.runner"
"""The key of a scope under which a bridge tells how plain functions run for this request."""


WAITING: Final = "mcp_mount.waiting"
"""The key of a scope under which a bridge tells how many requests may wait on its server."""


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(slots=True)
class AsyncEvents:
    """A response that has begun: its events, the last one ends it. Close the iterator to leave."""

    events: AsyncIterator[bytes]


class ASGITransport:
    """Serves the MCP endpoint of a server as an ASGI application; it looks at no path.

    stream_runner: how the functions run that may speak before they end, if not like the others.
    """

    def __init__(
        self, protocol: Protocol, runner: Runner = PLAIN, stream_runner: Runner | None = None
    ) -> None:
        self._protocol = protocol
        self._runner = runner
        self._stream_runner = stream_runner or runner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = read_headers(scope)
        limit = self._protocol.settings.max_body_bytes
        try:
            body = await read_body(headers, receive, limit)
        except ClientLeft:
            return
        if body is None:
            await _send_reply(self._protocol.too_large(), send)
            return
        request = Request(
            scope["method"], headers, body, lambda: StarletteRequest(scope), scope.get(WAITING)
        )
        opened = self._protocol.open(request)
        if isinstance(opened, Reply):
            await _send_reply(opened, send)
        elif opened.accepts_stream and any(call.wants_context for call in opened.calls):
            await self._stream(opened, receive, send)
        elif await run_calls(opened.calls, scope.get(RUNNER, self._runner), receive):
            await _send_reply(opened.reply(), send)

    async def respond_to(self, request: Request) -> Reply | AsyncEvents:
        """Answer a request that was read already, for a framework that writes the response.

        The framework cancels the task, or closes the iterator, when the client leaves.
        """
        opened = self._protocol.open(request)
        if isinstance(opened, Reply):
            return opened
        if not (opened.accepts_stream and any(call.wants_context for call in opened.calls)):
            await run_calls(opened.calls, self._runner)
            return opened.reply()
        stream = AsyncStream(opened.calls, self._stream_runner)
        try:
            first = await stream.next(keep_alive=False)
        except BaseException:
            await stream.aclose()
            raise
        if first is None:
            return opened.reply()
        return AsyncEvents(_whole(first, stream, opened))

    async def _stream(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        stream = AsyncStream(exchange.calls, self._stream_runner)
        departure = asyncio.create_task(_departure(receive))
        departure.add_done_callback(lambda _: stream.close())
        try:
            event = await stream.next(keep_alive=False)
            if event is None:
                if not stream.closed:
                    await _send_reply(exchange.reply(), send)
                return
            await _send_start(200, sse.HEADERS, send)
            while event is not None:
                await send({"type": "http.response.body", "body": event, "more_body": True})
                event = await stream.next()
            if not stream.closed:
                await send({"type": "http.response.body", "body": exchange.closing_events()})
        finally:
            departure.cancel()
            await stream.aclose()


async def _whole(first: bytes, stream: AsyncStream, exchange: Exchange) -> AsyncIterator[bytes]:
    event: bytes | None = first
    try:
        while event is not None:
            yield event
            event = await stream.next()
    finally:
        await stream.aclose()
    yield exchange.closing_events()


async def run_calls(calls: Sequence[Call], runner: Runner, receive: Receive | None = None) -> bool:
    """Run calls that nobody hears before they end; False if the client left meanwhile.

    receive: where the client's departure is told; without it the host cancels the task itself.
    """
    for call in calls:
        if call.wants_context:
            silence(call)
        if not call.is_async:
            await runner.off_loop(partial(runner.run, call))
        elif receive is None:
            await call.run_async()
        elif not await _Attended(call.run_async(), receive):
            return False
    return True


class _Attended:
    """Awaits a coroutine in the current task, and gives it up when the client leaves.

    Most handlers end without waiting for anything, so the watch for the client begins only when
    the coroutine first waits: until then, no task is made.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], receive: Receive) -> None:
        self._coroutine = coroutine
        self._receive = receive
        self._waiting: Any = None
        self._left = False

    def __await__(self) -> Generator[Any, Any, bool]:
        coroutine = self._coroutine
        try:
            self._waiting = coroutine.send(None)
        except StopIteration:
            return True
        watch = asyncio.create_task(_departure(self._receive))
        watch.add_done_callback(self._give_up)
        try:
            while True:
                try:
                    value = yield self._waiting
                except BaseException as error:
                    self._waiting = coroutine.throw(error)
                else:
                    if self._left:
                        self._waiting = coroutine.throw(asyncio.CancelledError())
                    else:
                        self._waiting = coroutine.send(value)
        except StopIteration:
            return not self._left
        except asyncio.CancelledError:
            if self._left:
                return False
            raise
        finally:
            watch.remove_done_callback(self._give_up)
            watch.cancel()

    def _give_up(self, watch: asyncio.Task[None]) -> None:
        if watch.cancelled():
            return
        self._left = True
        with suppress(AttributeError):
            self._waiting.cancel()


async def _departure(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def read_headers(scope: Scope) -> dict[str, str]:
    """The headers of a scope, for `Request`; servers differ in the white space they leave."""
    pairs = [
        (name.decode("latin-1"), value.decode("latin-1").strip(" \t"))
        for name, value in scope["headers"]
    ]
    headers = dict(pairs)
    if len(headers) < len(pairs):
        for repeated in headers:
            headers[repeated] = ", ".join(value for name, value in pairs if name == repeated)
    return headers


async def read_body(headers: dict[str, str], receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None if it exceeds `limit` bytes. Raises ClientLeft."""
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if size + len(chunk) > limit:
                return None
            return b"".join((*chunks, chunk)) if chunks else chunk
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)


async def _send_start(status: int, headers: list[tuple[str, str]], send: Send) -> None:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _send_reply(reply: Reply, send: Send) -> None:
    length = [("content-length", str(len(reply.body)))] if reply.status != 204 else []
    await _send_start(reply.status, [*reply.headers, *length], send)
    await send({"type": "http.response.body", "body": reply.body})
