"""Events on their way from a handler to its client, bounded in number and in bytes."""

from __future__ import annotations

import asyncio
from collections import deque

from mcp_mount.protocol.resumption import MAX_UNREAD, MAX_UNREAD_BYTES
from mcp_mount.wire import sse


class EventQueue:
    """A queue on one event loop, with one reader.

    Whoever puts an event in waits while too much is there for a slow client. A single event may be
    larger than the bound: it waits until the queue is empty.
    """

    def __init__(self) -> None:
        self._events: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self.is_dropping = False
        self._reader: asyncio.Future[bool] | None = None
        self._room = asyncio.Event()

    async def put(self, event: bytes) -> None:
        """Add an event, when there is room for it."""
        while self._events and (
            len(self._events) >= MAX_UNREAD or self._bytes + len(event) > MAX_UNREAD_BYTES
        ):
            self._room.clear()
            await self._room.wait()
        if self.is_dropping:
            # Whoever says much to nobody lets others have their turn.
            await asyncio.sleep(0)
            return
        self._events.append(event)
        self._bytes += len(event)
        self._wake()

    async def get(self, silence: float | None = None) -> bytes | None:
        """The next event.

        Args:
            silence: After how many seconds without one a comment comes in its place. None for
                never.

        Returns:
            The event, `sse.KEEP_ALIVE` itself after a silence, or None when no more will come.
        """
        while not self._events:
            if self._ended:
                return None
            if not await self._news(silence) and not self._events:
                return sse.KEEP_ALIVE
        event = self._events.popleft()
        self._bytes -= len(event)
        self._room.set()
        return event

    def end(self) -> None:
        """No more events come."""
        self._ended = True
        self._wake()

    def drop(self) -> None:
        """Nobody hears any more: forget what is there, and all that comes."""
        self.is_dropping = True
        self._events.clear()
        self._bytes = 0
        self._room.set()

    async def _news(self, silence: float | None) -> bool:
        """Wait for an event, or the end; False after a silence. Makes no task, as `wait_for`."""
        loop = asyncio.get_running_loop()
        reader: asyncio.Future[bool] = loop.create_future()
        self._reader = reader
        timer = None if silence is None else loop.call_later(silence, _set, reader, False)
        try:
            return await reader
        finally:
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._reader is not None:
            _set(self._reader, True)


def _set(reader: asyncio.Future[bool], news: bool) -> None:
    if not reader.done():
        reader.set_result(news)
