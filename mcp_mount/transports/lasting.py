"""Waiting on an event loop for what runs to its end, even if whoever waits is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from mcp_mount.calls.activity import Activity

T = TypeVar("T")

_kept: Final[set[asyncio.Future[Any]]] = set()


def keep(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """Keep a task until it has ended: event loops hold weak references to theirs.

    Its exception is raised in those who await it; if there are none, asyncio does not log it.
    """
    _kept.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Future[Any]) -> None:
    _kept.discard(task)
    if not task.cancelled():
        task.exception()


async def wait_until_done(
    future: asyncio.Future[Any], on_cancel: Callable[[], None] = lambda: None
) -> asyncio.CancelledError | None:
    """Wait until a future is done, also if the current task is cancelled meanwhile.

    Args:
        future: What is waited for. It is not cancelled.
        on_cancel: Called at each cancellation of the current task.

    Returns:
        The last cancellation, for the caller to raise when it is ready; None without one.
    """
    cancellation: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancellation = error
            on_cancel()
    return cancellation


async def ended(activity: Activity) -> None:
    """Wait until an activity is idle.

    A cancellation is raised only then: even when the event loop ends, what a handler uses must not
    be closed before the handler has ended.
    """
    if not activity.is_running:
        return
    loop = asyncio.get_running_loop()
    # Not a task: when the loop ends, its tasks are cancelled one by one.
    idle: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not idle.done():
            idle.set_result(None)

    def call_back() -> None:
        # The handler may outlive the loop.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle)

    activity.when_idle(call_back)
    if (cancellation := await wait_until_done(idle)) is not None:
        raise cancellation
