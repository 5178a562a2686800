"""Threads for plain functions that coroutines wait for.

An executor of the standard library makes two futures for each function, one for threads and one
for the loop, and wakes the loop for each answer. Here a function has one future, and all answers
that are ready wake their loop once (docs/performance.md has the figures).
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, ref

from mcp_mount.transports.os_threads import Inbox, start_thread

T = TypeVar("T")

_IDLE_SECONDS: Final = 30.0
"""How long a thread waits for something to do before it ends."""

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a function returned, or what it raised."""


class _Answers:
    """The outcomes that wait for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # A reference would keep the loop alive, which is the weak key for this.
        self._loop = ref(loop)
        self._ready: deque[tuple[asyncio.Future[Outcome], Outcome]] = deque()
        self._is_waking = False

    def put(self, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
        """Answer a future of the loop, from any thread."""
        self._ready.append((future, outcome))
        if not self._is_waking:
            self._is_waking = True
            loop = self._loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._take)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                self._ready.clear()

    def _take(self) -> None:
        # First: what is put from here on wakes the loop again.
        self._is_waking = False
        ready = self._ready
        while ready:
            future, outcome = ready.popleft()
            if not future.done():
                future.set_result(outcome)


class _Submitted:
    """A function to run, in the context variables of its caller."""

    __slots__ = ("answers", "context", "function", "future")

    def __init__(
        self,
        function: Callable[[], Any],
        context: Context,
        future: asyncio.Future[Outcome],
        answers: _Answers,
    ) -> None:
        self.function = function
        self.context = context
        self.future = future
        self.answers = answers

    def run(self) -> Outcome:
        try:
            return self.context.run(self.function), None
        except BaseException as error:
            return None, error


class ThreadPool:
    """Runs plain functions on threads of the operating system, which are made as they are needed.

    The threads are daemons, so that idle ones hold up no end of the process; a function that runs
    then is waited for. Functions begin in the order in which they came.

    Args:
        max_threads: How many functions run at a time; others wait for them.
        name: Of the threads.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        self._max_threads = max_threads
        self._name = name
        self._answers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Answers] = WeakKeyDictionary()
        self._forget_threads()
        atexit.register(self._finish)
        os.register_at_fork(after_in_child=self._forget_threads)

    def _forget_threads(self) -> None:
        """Begin without threads: those of a process that has forked are not in its child."""
        self._work: Inbox[_Submitted] = Inbox()
        self._state = threading.Lock()
        self._ended = threading.Condition(self._state)
        self._threads = 0
        self._idle = 0
        self._waiting = 0
        self._busy = 0

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function on a thread, and wait for it.

        It runs to its end, also if whoever waits for it is cancelled.

        Args:
            function: The function. It runs in the context variables of the caller.

        Returns:
            What it returns.

        Raises:
            BaseException: What it raises.
        """
        loop = asyncio.get_running_loop()
        answers = self._answers.get(loop)
        if answers is None:
            answers = self._answers[loop] = _Answers(loop)
        future: asyncio.Future[Outcome] = loop.create_future()
        self._put(_Submitted(function, copy_context(), future, answers))
        value, error = await future
        if error is not None:
            try:
                raise error
            finally:
                # The traceback holds this frame.
                del error
        result: T = value
        return result

    def _put(self, work: _Submitted) -> None:
        with self._state:
            self._waiting += 1
            starts = self._waiting > self._idle and self._threads < self._max_threads
            if starts:
                self._threads += 1
                self._idle += 1
        self._work.put(work)
        if starts:
            try:
                start_thread(self._serve, self._name)
            except BaseException:
                with self._state:
                    self._threads -= 1
                    self._idle -= 1
                    is_served = self._threads > 0
                if not is_served:
                    raise

    def _serve(self) -> None:
        """Run what is put, until there has been nothing for a while."""
        inbox, state = self._work, self._state
        while True:
            try:
                work = inbox.get(_IDLE_SECONDS)
            except queue.Empty:
                with state:
                    if self._waiting >= self._idle:
                        # Something has been put that no other thread will take.
                        continue
                    self._threads -= 1
                    self._idle -= 1
                return
            with state:
                self._waiting -= 1
                self._idle -= 1
                self._busy += 1
            outcome = work.run()
            with state:
                # Before the answer, which may bring the next function: this thread can take it.
                self._idle += 1
                self._busy -= 1
                if self._busy == 0:
                    self._ended.notify_all()
            work.answers.put(work.future, outcome)
            # Not for as long as the thread is idle.
            del work, outcome

    def _finish(self) -> None:
        """Wait for what runs, at the end of the process."""
        with self._state:
            while self._threads and (self._busy or self._waiting):
                self._ended.wait(1.0)
