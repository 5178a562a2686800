"""Coroutines on the background loop, whose events a thread hands out."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial

from mcp_mount.calls.call import Call
from mcp_mount.protocol.exchange import Exchange
from mcp_mount.protocol.resumption import MAX_UNREAD, MAX_UNREAD_BYTES
from mcp_mount.transports import background
from mcp_mount.transports.async_streams import AsyncStream
from mcp_mount.transports.driving import drive_async
from mcp_mount.transports.executor import Executor, serving
from mcp_mount.transports.threads import Runner
from mcp_mount.wire import sse


def background_events(call: Call, runner: Runner, exchange: Exchange) -> Iterator[bytes]:
    """Run a coroutine function on the background loop and yield here what it says.

    Closing the iterator cancels it.
    """
    with serving() as executor:
        unread = _Unread(background.loop())
        pump = partial(_pump, call, runner, executor, exchange, unread)
        outcome, give_up = background.spawn(executor.entered(pump))
        silence = exchange.begin_after
        try:
            while True:
                try:
                    event = executor.heard(silence)
                except queue.Empty:
                    event = sse.KEEP_ALIVE
                else:
                    if event is None:
                        break
                    unread.taken(event)
                silence = exchange.keep_alive
                yield event
        finally:
            if not outcome.done():
                give_up()
                # The contexts and connections of the request are the coroutine's until it has
                # ended, and what cleans up may need this thread.
                executor.serve(outcome)
        outcome.result()


def silent_events(call: Call, runner: Runner, exchange: Exchange) -> Iterator[bytes]:
    """Run a coroutine function that says nothing on the background loop, and yield comments if it
    takes long.

    Closing the iterator cancels it, unless it goes on without its client.
    """
    with serving() as executor:
        outcome, give_up = background.spawn(executor.entered(partial(drive_async, call, runner)))
        call.on_cancel = give_up
        silence = exchange.begin_after
        try:
            while not outcome.done():
                try:
                    executor.serve(outcome, silence)
                except queue.Empty:
                    silence = exchange.keep_alive
                    yield sse.KEEP_ALIVE
        finally:
            if not outcome.done():
                if not exchange.outlives_client:
                    give_up()
                executor.serve(outcome)
        with suppress(CancelledError):
            outcome.result()


async def _pump(
    call: Call, runner: Runner, executor: Executor, exchange: Exchange, unread: _Unread
) -> None:
    stream = AsyncStream([call], runner, resumable=exchange.resumable)
    try:
        while (event := await stream.next()) is not None:
            await unread.add(event)
            executor.say(event)
    finally:
        await stream.aclose()
        executor.say(None)


class _Unread:
    """How much of what a coroutine says its thread has still to hand out, to a slow client."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._number = self._bytes = 0
        self._room: asyncio.Future[None] | None = None

    async def add(self, event: bytes) -> None:
        """Count an event in, when there is room. On the loop."""
        while True:
            with self._lock:
                if not self._number or (
                    self._number < MAX_UNREAD and self._bytes + len(event) <= MAX_UNREAD_BYTES
                ):
                    self._number += 1
                    self._bytes += len(event)
                    return
                self._room = self._loop.create_future()
            await self._room

    def taken(self, event: bytes) -> None:
        """Count an event out. On the thread."""
        with self._lock:
            self._number -= 1
            self._bytes -= len(event)
            room, self._room = self._room, None
        if room is not None:
            self._loop.call_soon_threadsafe(_tell, room)


def _tell(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
