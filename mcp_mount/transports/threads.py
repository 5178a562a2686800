"""Where handlers run: a host's way for plain functions and for coroutines, threads of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from mcp_mount.protocol.calls import Call

T = TypeVar("T")

RunSync: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a plain function off the event loop, in the current context variables."""

_MOST_THREADS: Final = 40

_threads: ThreadPoolExecutor | None = None


async def run_in_thread(function: Callable[[], None]) -> None:
    """The usual RunSync: a thread of a pool of our own, made at the first use."""
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="mcp-mount-tool")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(_threads, copy_context().run, function)


@dataclass(frozen=True, slots=True)
class Runner:
    """How a host runs handlers.

    run: runs a plain function on the thread where it belongs; off_loop: brings it there from an
    event loop. run_async: runs a coroutine function.
    """

    run: Callable[[Call], None] = Call.run
    off_loop: RunSync = run_in_thread
    run_async: Callable[[Call], Coroutine[Any, Any, None]] = Call.run_async


async def off_loop(runner: Runner, function: Callable[[], T]) -> T:
    """What a plain function returns that runs off the event loop; raises what it raises."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    await runner.off_loop(run)
    return outcome.result()


PLAIN: Final = Runner()
"""No host around the call, and threads of our own."""
