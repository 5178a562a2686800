"""What lasts to its end on an event loop, whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

_kept: Final[set[asyncio.Future[Any]]] = set()


def keep(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """Keep a task until it has ended: event loops hold weak references to theirs.

    What it raises is for those who await it; if nobody does, it is no matter for the log.
    """
    _kept.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Future[Any]) -> None:
    _kept.discard(task)
    if not task.cancelled():
        task.exception()


class Running(Protocol):
    """Something that runs, and ends."""

    def when_idle(self, call_back: Callable[[], None], /) -> None: ...


async def ended(occupancy: Running) -> None:
    """Wait until a handler does not run any more. A cancellation waits as well, and is raised
    then: also at the end of the loop, what the handler uses stays until it has ended."""
    loop = asyncio.get_running_loop()
    # No task: those are cancelled one by one when their loop ends.
    idle: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not idle.done():
            idle.set_result(None)

    def call_back() -> None:
        # The handler may outlive the loop.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    occupancy.when_idle(call_back)
    cancellation: asyncio.CancelledError | None = None
    while not idle.done():
        try:
            await asyncio.wait([idle])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation
