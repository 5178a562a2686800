"""The ASGI driver: coroutine handlers on the server's loop, plain functions on threads."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Sequence,
)
from contextlib import aclosing
from functools import partial
from typing import Final

from mcp_mount.protocol.direct import DirectCall, resumed
from mcp_mount.protocol.exchange import Exchange, Opened, Protocol
from mcp_mount.protocol.resumption import Resumption
from mcp_mount.transports.async_streams import AsyncStream
from mcp_mount.transports.attending import Departure, run_calls
from mcp_mount.transports.direct import ASGIDirectCalls, again
from mcp_mount.transports.driving import (
    follow_async,
    open_request_async,
)
from mcp_mount.transports.late import LateResponse, LateStart
from mcp_mount.transports.resuming import AsyncReader, go_on_unheard, pump
from mcp_mount.transports.scopes import (
    RUNNER,
    ClientLeft,
    Receive,
    Scope,
    Send,
    read_body,
    read_headers,
    request_of,
)
from mcp_mount.transports.thread_pool import Started
from mcp_mount.transports.threads import PLAIN, Runner
from mcp_mount.wire import sse
from mcp_mount.wire.messages import JSON, Reply


class ASGITransport:
    """Serves the MCP endpoint of a server as an ASGI application; it looks at no path."""

    def __init__(self, protocol: Protocol, runner: Runner = PLAIN) -> None:
        self._protocol = protocol
        self._runner = runner
        self.direct = ASGIDirectCalls(protocol, runner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        root_path = scope.get("root_path", "")
        stands_alone = not scope.get("mcp_mount.mounted", True) and not root_path
        asked = self.direct.find(scope, root_path, stands_alone=stands_alone)
        if asked is not None:
            message = await receive()
            call = self.direct.read(asked, message)
            if call is not None:
                await self.answer_directly(call, scope, receive, send, _as_it_is)
                return
            receive = again(message, receive)
        await self.serve(scope, receive, send)

    async def answer_directly(
        self,
        call: DirectCall,
        scope: Scope,
        receive: Receive,
        send: Send,
        complete: Callable[[Scope], Scope],
    ) -> None:
        """Answer a direct call.

        Args:
            call: The call, as `direct` has found and read it.
            scope: Of the request.
            receive: ASGI's.
            send: ASGI's.
            complete: Returns the scope for the long way, where a handler takes time or has failed.
        """
        body, rest = self.direct.run(call)
        if body is None and type(rest) is Started:
            outcome = await rest.future
            if outcome is None:
                await self._answer_late(call, rest, complete(scope), receive, send)
                return
            (body, after), error = outcome
            if error is not None:
                raise error
            if body is None:
                exchange = self._resumed(call, complete(scope))
                exchange.calls[0].resume(resumed(after))
                # Here: on a thread, it would wait behind all functions that have not begun.
                exchange.calls[0].run()
                await _send_reply(exchange.reply(), send)
                return
        if body is not None:
            headers = [_CONTENT_TYPE, (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        scope = complete(scope)
        opened = self._protocol.open_direct(call, request_of(scope, read_headers(scope)))
        if rest is not None:
            assert isinstance(opened, Exchange), "its arguments have been validated"
            assert not isinstance(rest, Started), "its outcome has been taken"
            opened.calls[0].resume(resumed(rest))
        await self._answer(opened, scope, receive, send, self._runner)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request the long way, whatever it is."""
        headers = read_headers(scope)
        limit = self._protocol.settings.max_body_bytes
        try:
            body = await read_body(headers, receive, limit)
        except ClientLeft:
            return
        if body is None:
            await _send_reply(self._protocol.too_large(), send)
            return
        request = request_of(scope, headers, body)
        runner = scope.get(RUNNER, self._runner)
        if self._protocol.settings.asks_nobody and not request.may_block:
            opened = await follow_async(self._protocol.open(request), runner)
        else:
            opened = await open_request_async(self._protocol, request, runner)
        await self._answer(opened, scope, receive, send, runner)

    async def _answer(
        self, opened: Opened, scope: Scope, receive: Receive, send: Send, runner: Runner
    ) -> None:
        if isinstance(opened, Reply):
            await _send_reply(opened, send)
        elif isinstance(opened, Resumption):
            await self._resume(opened, receive, send)
        else:
            # Behind a bridge, plain functions run on the request's thread, and end with it.
            resumable = RUNNER not in scope
            if opened.accepts_stream and any(call.wants_context for call in opened.calls):
                await self._stream(opened, runner, receive, send, resumable=resumable)
            else:
                await self._run(opened, runner, receive, send, resumable=resumable)

    async def _run(
        self, exchange: Exchange, runner: Runner, receive: Receive, send: Send, *, resumable: bool
    ) -> None:
        """Run handlers without a context; reply by an event stream only if they take long."""
        late: LateStart | None = None
        if exchange.accepts_stream:
            send_late = partial(_send_late, exchange, receive, send)
            late = LateStart(exchange, send_late, resumable=resumable)
        # In a session a client that leaves cancels nothing, so nobody need watch for it.
        leaving = None if exchange.outlives_client else receive
        on_wait = None if late is None else late.arm
        try:
            stayed = await run_calls(exchange.calls, runner, leaving, on_wait=on_wait)
            if late is not None:
                late.disarm()
            if late is not None and late.has_begun:
                if stayed:
                    await late.finish()
            elif stayed:
                await _send_reply(exchange.reply(), send)
        finally:
            if late is not None:
                await late.give_up()

    async def _answer_late(
        self, call: DirectCall, started: Started, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Begin the response to a direct call whose plain function has taken long already."""
        exchange = self._resumed(call, scope)
        send_late = partial(_send_late, exchange, receive, send)
        late = LateStart(exchange, send_late, resumable=False)
        late.begin()
        try:
            outcome = await started.future
            assert outcome is not None
            (_, after), error = outcome
            if error is not None:
                raise error
            exchange.calls[0].resume(resumed(after))
            exchange.calls[0].run()
            await late.finish()
        finally:
            await late.give_up()

    def _resumed(self, call: DirectCall, scope: Scope) -> Exchange:
        """A direct call whose handler has begun, for the long way."""
        exchange = self._protocol.open_direct(call, request_of(scope, read_headers(scope)))
        assert isinstance(exchange, Exchange), "its arguments have been validated"
        return exchange

    async def _stream(
        self, exchange: Exchange, runner: Runner, receive: Receive, send: Send, *, resumable: bool
    ) -> None:
        resumable = resumable and exchange.resumable
        goes_on = exchange.outlives_client
        stream = AsyncStream(exchange.calls, runner, resumable=resumable)
        departure = Departure(receive, _nothing if goes_on else stream.close)
        is_handed_over = False
        try:
            first = await stream.next(exchange.begin_after)
            if first is None:
                if not departure.left:
                    await _send_reply(exchange.reply(), send)
            elif departure.left and goes_on:
                # Without an event it has no id to come back with.
                return
            elif resumable:
                reader = AsyncReader(pump(first, stream, exchange)[0], exchange.keep_alive)
                is_handed_over = True
                departure.leave = reader.close
                events = begun_events(first, reader.events())
                await _send_events(events, [departure], send)
            else:
                is_handed_over = True
                await _send_events(whole_events(first, stream, exchange), [departure], send)
        finally:
            departure.end_watch()
            if not is_handed_over:
                await _leave(stream, exchange)

    async def _resume(self, resumption: Resumption, receive: Receive, send: Send) -> None:
        reader = AsyncReader(resumption, self._protocol.settings.keep_alive)
        departure = Departure(receive, reader.close)
        try:
            await _send_events(reader.events(), [departure], send)
        finally:
            departure.end_watch()


async def _send_late(
    exchange: Exchange, receive: Receive, send: Send, response: LateResponse
) -> None:
    """Send a response that begins before its handlers have ended."""
    if not exchange.outlives_client:
        # Whoever runs the calls watches for the client.
        await _send_events(response.events(), [], send)
        return
    departure = Departure(receive, response.leave)
    try:
        await _send_events(response.events(), [departure], send)
    finally:
        departure.end_watch()


def _as_it_is(scope: Scope) -> Scope:
    return scope


def _nothing() -> None:
    """Do nothing when the client of a session leaves: its calls go on."""


async def _leave(stream: AsyncStream, exchange: Exchange) -> None:
    """Close a stream that has no reader any more; in a session, its calls go on."""
    if exchange.outlives_client and not stream.is_over:
        go_on_unheard(stream)
    else:
        await stream.aclose()


async def begun_events(first: bytes, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of a log; before them the comment that began the response, if one did."""
    async with aclosing(events):  # type: ignore[type-var]
        if first is sse.KEEP_ALIVE:
            yield first
        async for event in events:
            yield event


async def whole_events(
    first: bytes, stream: AsyncStream, exchange: Exchange
) -> AsyncIterator[bytes]:
    """All events of a stream, which ends with its connection."""
    event: bytes | None = first
    stream.release()
    try:
        while event is not None:
            yield event
            event = await stream.next(exchange.keep_alive)
        if not stream.closed:
            for event in exchange.closing_events():
                yield event
    finally:
        await _leave(stream, exchange)


async def _send_events(
    events: AsyncIterator[bytes], departures: Sequence[Departure], send: Send
) -> None:
    """Send a response of events.

    Args:
        events: The events, encoded.
        departures: Watched here for the departure of the client.
        send: ASGI's.
    """
    await _send_start(200, sse.HEADERS, send)
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if any(departure.left for departure in departures):
                return
            await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_start(status: int, headers: Sequence[tuple[str, str]], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})


async def _send_reply(reply: Reply, send: Send) -> None:
    headers = list(_JSON_HEADERS) if reply.headers == _IN_JSON else _encoded(reply.headers)
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _encoded(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


_IN_JSON: Final = [("content-type", JSON)]
_JSON_HEADERS: Final = _encoded(_IN_JSON)
_CONTENT_TYPE: Final = _JSON_HEADERS[0]
"""Those of nearly every reply, encoded once."""
