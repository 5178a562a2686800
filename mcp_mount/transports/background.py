"""The one event loop of a process whose web server has none: for coroutine handlers under WSGI."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar

from mcp_mount.calls.green import is_green
from mcp_mount.transports.os_threads import NativePool, start_thread
from mcp_mount.wire.cancellation import cancel as cancel_task
from mcp_mount.wire.logs import own_logger

T = TypeVar("T")

logger = own_logger("mcp_mount")

_MAX_THREADS: Final = 40
_STARTING_SECONDS: Final = 60.0
"""How long the thread of the loop may take to start. Not without end: under gevent a wait without
end is an error where nothing else is waited for."""


class LoopEnded(RuntimeError):
    """The event loop ended while a coroutine ran on it."""

    def __init__(self) -> None:
        super().__init__("The event loop of the coroutine ended; the next call gets a new one")


class _Loop:
    """An event loop on a thread of its own, and who waits for what runs on it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.ended = False
        self._stops = False
        self._waiting: set[Future[Any]] = set()
        self._made: Future[asyncio.AbstractEventLoop] = Future()
        start_thread(self._run, "mcp-mount-loop", stop=self._stop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._made.result(_STARTING_SECONDS)

    def expect(self, outcome: Future[Any]) -> None:
        """Let a future fail if the loop ends before it has its outcome."""
        self._waiting.add(outcome)
        outcome.add_done_callback(self._waiting.discard)
        if self.ended:
            _fail(outcome)

    def _stop(self) -> None:
        self._stops = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self) -> None:
        try:
            # Made here: gevent's sockets belong to the thread that makes them.
            loop = asyncio.new_event_loop()
            if is_green():
                loop.set_default_executor(NativePool(_MAX_THREADS, "mcp-mount-worker"))
            self._made.set_result(loop)
            while not (loop.is_closed() or self._stops):
                _run_until_stopped(loop)
        except BaseException as error:
            if not self._made.done():
                self._made.set_exception(error)
            raise
        finally:
            self.ended = True
            for outcome in list(self._waiting):
                _fail(outcome)


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    except BaseException as error:
        # asyncio lets SystemExit and KeyboardInterrupt of a task end its loop, besides giving them
        # to whoever awaits the task. Run again, the loop goes on where it was.
        logger.warning("A task on the event loop for coroutine handlers raised %r", error)


_lock = threading.Lock()
_current: _Loop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """Return this process's background loop; starts it at the first use, and again after a fork or
    when its thread has ended."""
    return _running().loop


def _running() -> _Loop:
    global _current
    # Nothing waits while it holds the lock, which may be one of before gevent patched: a greenlet
    # that waited would let others go on, and those would stop the whole thread at the lock.
    with _lock:
        if _current is None or _current.ended or _current.pid != os.getpid():
            _current = _Loop()
        return _current


def spawn(coroutine: Coroutine[Any, Any, T]) -> tuple[Future[T], Callable[[], None]]:
    """Run a coroutine on the background loop, in a copy of this thread's context variables.

    Returns:
        Its future, which fails with `LoopEnded` if the loop ends before it, and a function that
        cancels it from any thread.
    """
    running = _running()
    target = running.loop
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def settle(task: asyncio.Task[T]) -> None:
        if outcome.done():
            return
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
        with suppress(RuntimeError):
            # Of a closed loop: nothing is left to cancel.
            target.call_soon_threadsafe(lambda: cancel_task(tasks[0]))

    running.expect(outcome)
    try:
        target.call_soon_threadsafe(start, context=copy_context())
    except RuntimeError:
        coroutine.close()
        _fail(outcome)
    return outcome, cancel


def _fail(outcome: Future[Any]) -> None:
    with suppress(InvalidStateError):
        outcome.set_exception(LoopEnded())


def _forget_after_fork() -> None:
    # The thread stays behind in the parent, and so may the lock's holder.
    global _current, _lock
    _current, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
