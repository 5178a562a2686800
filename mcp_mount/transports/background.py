"""The one event loop of a process whose web server has none: for coroutine handlers under WSGI."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner: int | None = None


def loop() -> asyncio.AbstractEventLoop:
    """Return this process's background loop; starts it at the first use, and again after a fork."""
    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid():
            _loop, _owner = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="mcp-mount-loop", daemon=True).start()
        return _loop


def spawn(coroutine: Coroutine[Any, Any, T]) -> tuple[Future[T], Callable[[], None]]:
    """Run a coroutine on the background loop, in a copy of this thread's context variables.

    Returns its future, and a function that cancels it from any thread.
    """
    target = loop()
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def settle(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            outcome.cancel()
            # Without this, `concurrent.futures.wait` does not see the end.
            outcome.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())

    def start() -> None:
        task = target.create_task(coroutine)
        tasks.append(task)
        task.add_done_callback(settle)

    def cancel() -> None:
        target.call_soon_threadsafe(lambda: tasks[0].cancel())

    target.call_soon_threadsafe(start, context=copy_context())
    return outcome, cancel


def _forget_after_fork() -> None:
    # The thread stays behind in the parent, and so may the lock's holder.
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
