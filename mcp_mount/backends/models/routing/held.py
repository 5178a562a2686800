"""A buffer for the first pieces of a member's answer, until the route commits to that member."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from mcp_mount.llm.answers import Delta
from mcp_mount.llm.models import Pieces, ReaderLeft


class HeldPieces:
    """Takes the pieces of one member of a route, and passes them on from the first that says
    something.

    Args:
        pieces: Where they go.
        named: Returns the name of the model that answers, which the first piece tells, out of the
            one that the member tells.

    Attributes:
        first: Done once that piece has come.
        has_begun: Whether it has come.
        reader_left: Whether nobody reads the answer any more.
    """

    def __init__(self, pieces: Pieces, named: Callable[[str | None], str]) -> None:
        self._pieces = pieces
        self._named = named
        self._loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = self._loop.create_future()
        self.has_begun = False
        self.reader_left = False
        self._held: list[Delta] = []
        self._is_given_up = False
        self._lock = threading.Lock()

    async def put(self, delta: Delta) -> None:
        """Take a piece, on the event loop."""
        for one in self._due(delta):
            try:
                await self._pieces.put(one)
            except ReaderLeft:
                self.reader_left = True
                raise

    def put_from_thread(self, delta: Delta) -> None:
        """Take a piece, on a thread."""
        for one in self._due(delta):
            try:
                self._pieces.put_from_thread(one)
            except ReaderLeft:
                self.reader_left = True
                raise

    def give_up(self) -> bool:
        """Let nothing through any more; whether that is so: what has begun goes on."""
        with self._lock:
            self._is_given_up = not self.has_begun
            return self._is_given_up

    def _due(self, delta: Delta) -> Sequence[Delta]:
        """The pieces to pass on, now that another one has come."""
        if self.has_begun:
            return (delta,)
        if delta.progress is not None:
            # No part of the answer: another member may still give it.
            return (replace(delta, model=self._named(delta.model)),)
        with self._lock:
            if self._is_given_up:
                raise ReaderLeft
            self._held.append(delta)
            if not (delta.says_something or delta.finish):
                # A beginning, such as a usage that comes first.
                return ()
            self.has_begun = True
        due, self._held = self._held, []
        due[0] = replace(due[0], model=self._named(due[0].model))
        self._loop.call_soon_threadsafe(self._tell)
        return due

    def _tell(self) -> None:
        if not self.first.done():
            self.first.set_result(None)
