"""Answers on an event loop for a framework that writes the response itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from mcp_mount.protocol.exchange import Exchange, Protocol
from mcp_mount.protocol.resumption import Resumption
from mcp_mount.transports.asgi import begun_events, whole_events
from mcp_mount.transports.async_streams import AsyncStream
from mcp_mount.transports.attending import run_calls
from mcp_mount.transports.executor import waiting_thread
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.late import LateResponse
from mcp_mount.transports.resuming import AsyncReader, pump
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.messages import Reply


@dataclass(slots=True)
class AsyncEvents:
    """A response that has begun. Close the iterator of its events when the client has left.

    Attributes:
        events: The events, encoded.
        end: Closes it, and waits until everything that belongs to the response has ended.
    """

    events: AsyncIterator[bytes]
    end: Callable[[], Awaitable[None]]


class AsyncAnswers:
    """Answers requests that the protocol has opened.

    The framework cancels the task, or closes the iterator, when the client leaves.

    Args:
        protocol: The core.
        runner: How handlers run.
    """

    def __init__(self, protocol: Protocol, runner: Runner) -> None:
        self._protocol = protocol
        self._runner = runner

    async def answer(
        self, opened: Reply | Exchange | Resumption, *, is_late: bool = False
    ) -> Reply | AsyncEvents:
        """Answer a request.

        Args:
            opened: What the protocol has opened.
            is_late: Whether a handler without a context has begun so long ago that the response
                begins now.
        """
        if isinstance(opened, Reply):
            return opened
        if isinstance(opened, Resumption):
            return _read(AsyncReader(opened, self._protocol.settings.keep_alive))
        if not (opened.accepts_stream and any(call.wants_context for call in opened.calls)):
            return await self._answer_silent(opened, is_late=is_late)
        # What the host does with the response may need the thread that the calls have as well.
        held = waiting_thread() is not None
        stream = AsyncStream(opened.calls, self._runner, resumable=opened.resumable, held=held)
        try:
            first = await stream.next(opened.begin_after)
        except BaseException:
            if opened.outlives_client:
                stream.mute()
                await wait_until_done(keep(asyncio.create_task(stream.ended())))
            else:
                await stream.aclose()
            raise
        if first is None:
            await stream.aclose()
            return opened.reply()
        if opened.resumable:
            resumption, task = pump(first, stream, opened)
            reader = AsyncReader(resumption, opened.keep_alive)
            return _read(reader, task, first, stream.release)
        return AsyncEvents(whole_events(first, stream, opened), stream.aclose)

    async def _answer_silent(self, exchange: Exchange, *, is_late: bool) -> Reply | AsyncEvents:
        """Run handlers without a context, in a task that a framework may cancel."""
        runs = run_calls(exchange.calls, self._runner)
        if not exchange.accepts_stream and not exchange.outlives_client:
            await runs
            return exchange.reply()
        running = keep(asyncio.create_task(runs))
        try:
            silence = exchange.begin_after if exchange.accepts_stream else None
            silence = 0 if is_late else silence
            await asyncio.wait([running], timeout=silence)
        except asyncio.CancelledError:
            if not exchange.outlives_client:
                cancel(running)
            # What the request has is the handler's until it has ended.
            await wait_until_done(running)
            raise
        if running.done():
            running.result()
            return exchange.reply()
        response = LateResponse(exchange, resumable=True)

        def settle(done: asyncio.Future[bool]) -> None:
            if done.cancelled() or done.exception() is not None:
                response.drop()
            else:
                response.end()

        running.add_done_callback(settle)

        async def end() -> None:
            response.leave()
            if not exchange.outlives_client:
                cancel(running)
            await asyncio.wait([running])

        return AsyncEvents(response.events(), end)


def _read(
    reader: AsyncReader,
    lasting: asyncio.Task[None] | None = None,
    first: bytes = b"",
    begin: Callable[[], None] = lambda: None,
) -> AsyncEvents:
    """The events that a reader reads.

    Args:
        reader: Reads the log.
        lasting: The task that goes on when the client has left.
        first: The event that began the response.
        begin: Called when the response has begun, or never will.
    """

    async def end() -> None:
        begin()
        reader.close()
        if lasting is not None:
            await asyncio.wait([lasting])

    async def events() -> AsyncIterator[bytes]:
        begin()
        async with aclosing(begun_events(first, reader.events())) as all_:  # type: ignore[type-var]
            async for event in all_:
                yield event

    return AsyncEvents(events(), end)
