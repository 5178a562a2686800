"""The pieces of a model's answer, on their way from wherever it runs to their reader."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from mcp_mount.llm.answers import Delta
from mcp_mount.llm.models import ReaderLeft
from mcp_mount.transports.driving import spawner, wait_for
from mcp_mount.transports.executor import waiting_thread

_MAX_PIECES: Final = 64
"""How many pieces may wait for a slow reader."""

_SERVE_SECONDS: Final = 0.005
"""How long the thread of a request goes on with a model before it sends what there is."""


class PieceStream:
    """A queue of pieces with one reader, on the event loop where it was made.

    What is there is read at once: a model that is faster than its reader costs no wake-up for each
    piece.

    Args:
        limit: How many pieces are wanted: those after them are dropped. None for all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._left = limit
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[Delta] = deque()
        self._ended = False
        self._closed = False
        self._is_waking = False
        self._reader: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._served_at = 0.0

    async def put(self, delta: Delta) -> None:
        """Add a piece; wait for a reader that is slow.

        Raises:
            ReaderLeft: If nobody reads any more.
        """
        self._add(delta)
        self._wake()
        if len(self._pieces) >= _MAX_PIECES:
            await self._taken()

    def put_from_thread(self, delta: Delta) -> None:
        """Add a piece, on a thread; wait for a reader that is slow.

        Raises:
            ReaderLeft: If nobody reads any more.
        """
        self._add(delta)
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._wake_from_thread)
        if len(self._pieces) >= _MAX_PIECES or self._must_serve():
            wait_for(self._taken, spawner(self._loop))
            self._served_at = time.monotonic()

    async def take(self, silence: float | None = None) -> list[Delta] | None:
        """All pieces that are there; waits for the first one.

        Args:
            silence: After how many seconds to give up waiting; by default never.

        Returns:
            The pieces; none after a silence; None after the last one, and when it is closed.
        """
        deadline = None if silence is None else self._loop.time() + silence
        while not self._pieces and not self._ended and not self._closed:
            if not await self._news(deadline):
                return []
        taken: list[Delta] = []
        while self._pieces:
            taken.append(self._pieces.popleft())
        self._room.set()
        return taken or None

    def end(self) -> None:
        """No more pieces will come."""
        self._ended = True
        self._wake()

    def close(self) -> None:
        """Read no more: whoever adds a piece is told."""
        self._closed = True
        self._room.set()
        self._wake()

    def _add(self, delta: Delta) -> None:
        if self._closed:
            raise ReaderLeft
        if self._left is not None:
            if self._left < 1:
                return
            self._left -= 1
        self._pieces.append(delta)

    def _must_serve(self) -> bool:
        """Whether this is the thread that sends the response, and should do so now."""
        return waiting_thread() is not None and time.monotonic() - self._served_at >= _SERVE_SECONDS

    async def _taken(self) -> None:
        """Wait until the reader has taken all pieces."""
        while self._pieces and not self._closed:
            self._room.clear()
            self._wake()
            await self._room.wait()

    async def _news(self, deadline: float | None) -> bool:
        """Wait until something changes; whether it did so before the deadline."""
        self._reader = self._loop.create_future()
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline, self._wake)
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()
        return deadline is None or self._loop.time() < deadline

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_from_thread(self) -> None:
        # First: what is added from here on wakes the reader again.
        self._is_waking = False
        self._wake()
