"""Responses that begin while a silent handler still runs.

Proxies and clients give up a response of which they hear nothing for a minute. So to a client that
accepts an event stream the response begins after some seconds, whatever the handler does, and a
comment is sent now and then. Its status is 200 then, also if the answer is an error in the end: the
specification lets a stream end with any JSON-RPC response.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from mcp_mount.protocol.exchange import Exchange
from mcp_mount.protocol.resumption import Resumption
from mcp_mount.transports.resuming import AsyncReader
from mcp_mount.transports.timed_wait import wait_at_most
from mcp_mount.wire import sse


class LateResponse:
    """The events of a response that begins before its handlers have said anything.

    In a session that keeps streams, a client that is cut off from it may come back.
    """

    def __init__(self, exchange: Exchange, *, resumable: bool) -> None:
        self._exchange = exchange
        self._over = asyncio.Event()
        self._log = exchange.open_log() if resumable and exchange.resumable else None
        self._reader: AsyncReader | None = None
        if self._log is not None:
            self._reader = AsyncReader(Resumption(self._log), exchange.keep_alive)

    def end(self) -> None:
        """Finish the response: all handlers have run."""
        if self._log is not None:
            for event in self._exchange.closing_events():
                self._log.append(event)
            self._log.end()
        self._over.set()

    def drop(self) -> None:
        """There will be no answer."""
        if self._log is not None:
            self._log.end()

    def leave(self) -> None:
        """Stop sending: the client has left."""
        if self._reader is not None:
            self._reader.close()

    async def events(self) -> AsyncIterator[bytes]:
        """What to send, until `end` or `leave`."""
        yield sse.KEEP_ALIVE
        if self._reader is not None:
            async for event in self._reader.events():
                yield event
            return
        while not self._over.is_set():
            if not await wait_at_most(self._over, self._exchange.keep_alive):
                yield sse.KEEP_ALIVE
        for event in self._exchange.closing_events():
            yield event


class LateStart:
    """Starts a late response if the handlers of a request take long."""

    __slots__ = ("_exchange", "_response", "_resumable", "_send", "_task", "_timer")

    def __init__(
        self,
        exchange: Exchange,
        send: Callable[[LateResponse], Awaitable[None]],
        *,
        resumable: bool,
    ) -> None:
        """Prepare for a slow handler.

        Args:
            exchange: What is answered.
            send: Sends a whole response, as it comes.
            resumable: Whether a client that is cut off may come back, if the exchange allows it.
        """
        self._exchange = exchange
        self._send = send
        self._resumable = resumable
        self._timer: asyncio.TimerHandle | None = None
        self._response: LateResponse | None = None
        self._task: asyncio.Future[None] | None = None

    def arm(self) -> None:
        """The handlers begin to take time."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._exchange.begin_after, self.begin)

    @property
    def has_begun(self) -> bool:
        """Whether there is a response already."""
        return self._task is not None

    def disarm(self) -> None:
        """Begin no response any more."""
        if self._timer is not None:
            self._timer.cancel()

    async def finish(self) -> None:
        """End the response that has begun."""
        assert self._response is not None
        assert self._task is not None
        self._response.end()
        await self._task

    async def give_up(self) -> None:
        """Drop the response, if it has not ended: its client has left, or its handlers were
        cancelled."""
        self.disarm()
        if self._response is not None:
            self._response.drop()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def begin(self) -> None:
        """The handlers have taken long already."""
        self._response = LateResponse(self._exchange, resumable=self._resumable)
        self._task = asyncio.ensure_future(self._send(self._response))
