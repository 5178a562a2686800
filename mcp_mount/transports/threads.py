"""Where handlers run: a host's way for plain functions and for coroutines, threads of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from mcp_mount.calls.activity import Activity
from mcp_mount.calls.call import Call
from mcp_mount.calls.serving import serving as serving_thread
from mcp_mount.transports.executor import on_moving, run_moved, waiting_thread
from mcp_mount.transports.thread_pool import Started, ThreadPool

T = TypeVar("T")

RunSync: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a plain function off the event loop, in the current context variables."""

_MAX_THREADS: Final = 256
"""How many plain functions run at a time: most of them wait for something else. Threads are made as
they are needed, and end when they have been idle."""

_pool: ThreadPool | None = None

running_functions: Final[ContextVar[Activity | None]] = ContextVar(
    "mcp_mount.running_functions", default=None
)
"""Counts the functions that run for the current request, where something around the request must
last until they have ended: they may outlive it, when its client leaves or their time is over."""


async def run_in_thread(function: Callable[[], T]) -> T:
    """The usual RunSync: the thread that waits for this coroutine, or else one of a pool of our
    own, made at the first use.

    Args:
        function: Runs there.

    Returns:
        What it returns.

    Raises:
        BaseException: What it raises.
    """
    executor = serving_thread.get()
    if executor is not None:
        return await asyncio.get_running_loop().run_in_executor(executor, function)
    return await _own_pool().run(_for_pool(function))


def start_in_pool(function: Callable[[], Any], seconds: float | None = None) -> Started:
    """Have a thread of our own pool run a function, to its end whoever waits for it.

    Args:
        function: The function. It runs in the context variables of the caller.
        seconds: When to call `Started.stop_waiting`; by default never.
    """
    return _own_pool().start(_for_pool(function), seconds)


def _own_pool() -> ThreadPool:
    global _pool
    if _pool is None:
        # Its threads are those of the operating system, also under gevent: of greenlets none could
        # run Django's database work, since a loop is running on their thread.
        _pool = ThreadPool(_MAX_THREADS, "mcp-mount-tool")
    return _pool


def _for_pool(function: Callable[[], T]) -> Callable[[], T]:
    activity = running_functions.get()
    if activity is not None:
        function = partial(run_counted, activity, function)
    return partial(run_moved, function) if on_moving else function


def run_counted(activity: Activity, function: Callable[[], T]) -> T:
    """Run a function, and let an activity count it meanwhile."""
    activity.begin()
    try:
        return function()
    finally:
        activity.end()


@dataclass(frozen=True, slots=True)
class Runner:
    """How a host runs handlers.

    Attributes:
        run: Runs a plain function on the thread where it belongs.
        off_loop: Brings a plain function to that thread, from an event loop.
        run_async: Runs a coroutine function.
    """

    run: Callable[[Call], None] = Call.run
    off_loop: RunSync = run_in_thread
    run_async: Callable[[Call], Coroutine[Any, Any, None]] = Call.run_async


async def off_loop(runner: Runner, function: Callable[[], T]) -> T:
    """What a plain function returns that runs off the event loop; raises what it raises."""
    if runner.off_loop is run_in_thread:
        return await run_in_thread(function)
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    await runner.off_loop(run)
    return outcome.result()


async def open_call(runner: Runner, make: Callable[[], T], *, may_block: bool) -> T:
    """Make a call within another one, or a list of what may be called: on the thread that waits, if
    one does, or where it may block; rules ask what they ask of any request."""
    if may_block or waiting_thread() is not None:
        return await off_loop(runner, make)
    return make()


PLAIN: Final = Runner()
"""No host around the call, and threads of our own."""
