"""Streams that go on when their connection ends: who writes them, and who reads them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

from mcp_mount.protocol.exchange import Exchange
from mcp_mount.protocol.resumption import EventLog, Resumption
from mcp_mount.transports.async_streams import AsyncStream
from mcp_mount.transports.lasting import keep
from mcp_mount.transports.timed_wait import wait_at_most
from mcp_mount.wire import sse


def pump(
    first: bytes, stream: AsyncStream, exchange: Exchange
) -> tuple[Resumption, asyncio.Task[None]]:
    """Write all that `stream` says to a log, in a task of its own, which closes the stream."""
    log = exchange.open_log()
    return Resumption(log), keep(asyncio.create_task(_pump(first, stream, exchange, log)))


def go_on_unheard(stream: AsyncStream) -> None:
    """Let the calls of a stream run to their end, for a client that has left and cannot come
    back."""
    stream.mute()
    keep(asyncio.create_task(stream.ended()))


async def _pump(first: bytes, stream: AsyncStream, exchange: Exchange, log: EventLog) -> None:
    room = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_room() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(room.set)

    event: bytes | None = first
    try:
        while event is not None:
            if event is not sse.KEEP_ALIVE:
                log.append(event)
            if exchange.is_given_up(log):
                return
            while not log.has_room(on_room):
                await room.wait()
                room.clear()
            event = await stream.next(exchange.keep_alive)
        if not stream.closed:
            for event in exchange.closing_events():
                log.append(event)
    finally:
        await stream.aclose()
        log.end()


class AsyncReader:
    """Hands the events of a log to a client, as long as it stays and no other reader takes over.

    Args:
        resumption: The log, and where the client is in it.
        keep_alive: After how many seconds of silence a comment is sent.
    """

    def __init__(self, resumption: Resumption, keep_alive: float) -> None:
        self._keep_alive = keep_alive
        self._resumption = resumption
        self._log, self._position = resumption.log, resumption.after or 0
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._closed = False
        self._log.attach(self)

    def notify(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """Stop: the client has left."""
        self._closed = True
        self._log.detach(self)
        self._wake.set()

    async def events(self) -> AsyncIterator[bytes]:
        try:
            while not self._closed:
                self._wake.clear()
                events, over = self._log.after(self._position, self)
                for self._position, event in events:
                    shown = self._resumption.shown(self._position, event)
                    yield shown
                    if isinstance(shown, sse.RetryEvent):
                        return
                if over:
                    return
                if events:
                    continue
                if not await wait_at_most(self._wake, self._keep_alive):
                    yield sse.KEEP_ALIVE
        finally:
            self.close()


class Reader:
    """`AsyncReader`, for a thread."""

    def __init__(self, resumption: Resumption, keep_alive: float) -> None:
        self._keep_alive = keep_alive
        self._resumption = resumption
        self._log, self._position = resumption.log, resumption.after or 0
        self._wake = threading.Event()
        self._log.attach(self)

    def notify(self) -> None:
        self._wake.set()

    def events(self) -> Iterator[bytes]:
        try:
            while True:
                self._wake.clear()
                events, over = self._log.after(self._position, self)
                for self._position, event in events:
                    shown = self._resumption.shown(self._position, event)
                    yield shown
                    if isinstance(shown, sse.RetryEvent):
                        return
                if over:
                    return
                if not events and not self._wake.wait(self._keep_alive):
                    yield sse.KEEP_ALIVE
        finally:
            self._log.detach(self)


class ClosingAfterRetry:
    """A WSGI response that ends with a goodbye, while what gives its events goes on when closed.

    Whoever wraps such events in a generator wraps that in this again: a generator that has ended
    closes nothing.
    """

    def __init__(self, events: Iterable[bytes]) -> None:
        self._source = events
        self._events = iter(events)
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        event = next(self._events)
        self._over = isinstance(event, sse.RetryEvent)
        return event

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class DetachedResponse:
    """A WSGI response whose calls run on its thread: on to their end, though its client leaves.

    The web server closes it when the client has left, or was sent away; the rest of the calls
    runs then, and a client that comes back reads of it on another thread.
    """

    def __init__(self, first: bytes, events: Iterator[bytes], exchange: Exchange) -> None:
        self._log = exchange.open_log()
        self._exchange = exchange
        self._events = events
        self._position = 0
        self._comment = first if first is sse.KEEP_ALIVE else None
        self._log.attach(self)
        if self._comment is None:
            self._log.append(first)

    def notify(self) -> None:
        """It looks by itself."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        comment, self._comment = self._comment, None
        if comment is not None:
            return comment
        while True:
            events, over = self._log.after(self._position, self)
            if events:
                self._position, event = events[0]
                return event
            if over:
                raise StopIteration
            if (said := self._step()) is not None:
                return said

    def close(self) -> None:
        self._log.detach(self)
        try:
            while not self._log.ended and not self._exchange.is_given_up(self._log):
                self._step()
        finally:
            self._events.close()  # type: ignore[attr-defined]
            self._log.end()

    def _step(self) -> bytes | None:
        """Run the calls up to the next event, which goes to the log; return a mere comment."""
        event = next(self._events, None)
        if event is sse.KEEP_ALIVE:
            return event
        if event is not None:
            self._log.append(event)
            return None
        for event in self._exchange.closing_events():
            self._log.append(event)
        self._log.end()
        return None
