"""Threads for plain functions that coroutines wait for.

An executor of the standard library makes two futures for each function, one for threads and one
for the loop, and wakes the loop for each answer. Here a function has one future, and all answers
that are ready wake their loop once: 5 µs for each function in place of 20.
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
from math import inf
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, ref

from mcp_mount.transports.os_threads import native_lock, native_queue, start_thread

T = TypeVar("T")

_CLOCK_RESOLUTION: Final = 0.01
"""Event loops call a timer a little early or late."""

_IDLE_SECONDS: Final = 30.0
"""How long a thread waits for something to do before it ends."""

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a function returned, or what it raised."""


class _Answers:
    """The outcomes that wait for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # A reference would keep the loop alive, which is the weak key for this.
        self._loop = ref(loop)
        self._ready: deque[tuple[Started, Outcome]] = deque()
        self._is_waking = False
        self._deadlines: dict[Started, float] = {}
        self._looks_at = inf
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, started: Started, seconds: float) -> None:
        """Let a function have `Started.stop_waiting` called when it has taken this long.

        One timer serves all functions: one for each would cost 2.5 µs.
        """
        loop = started.future.get_loop()
        deadline = self._deadlines[started] = loop.time() + seconds
        if deadline < self._looks_at:
            self._look_at(deadline, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time() + _CLOCK_RESOLUTION
        for started, deadline in list(self._deadlines.items()):
            if deadline <= now:
                del self._deadlines[started]
                started.stop_waiting()
        self._looks_at = inf
        if self._deadlines:
            self._look_at(min(self._deadlines.values()), loop)

    def _look_at(self, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = deadline
        self._timer = loop.call_at(deadline, self._look, loop)

    def put(self, started: Started, outcome: Outcome) -> None:
        """Give a function's outcome to who waits for it on the loop, from any thread."""
        self._ready.append((started, outcome))
        if not self._is_waking:
            self._is_waking = True
            loop = self._loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._take)
            except RuntimeError:
                # The loop is closed: nobody waits any more. What is kept here would keep it.
                self._is_waking = False
                self._ready.clear()
                self._deadlines.clear()
                self._timer = None

    def _take(self) -> None:
        # First: what is put from here on wakes the loop again.
        self._is_waking = False
        ready = self._ready
        while ready:
            started, outcome = ready.popleft()
            self._deadlines.pop(started, None)
            if not started.future.done():
                started.future.set_result(outcome)


class Started:
    """A function that a thread runs, in the context variables of its caller.

    Attributes:
        function: The function.
        context: The context variables.
        answers: Where its outcome goes.
        future: Gets its outcome, on the caller's event loop. `stop_waiting` gives it None, and puts
            a new one in its place.
    """

    __slots__ = ("answers", "context", "function", "future")

    def __init__(
        self,
        function: Callable[[], Any],
        context: Context,
        future: asyncio.Future[Outcome | None],
        answers: _Answers,
    ) -> None:
        self.function = function
        self.context = context
        self.future = future
        self.answers = answers

    def stop_waiting(self) -> None:
        """Give the future None if the function has not ended yet; a new one gets its outcome."""
        if not self.future.done():
            waiting, self.future = self.future, self.future.get_loop().create_future()
            waiting.set_result(None)

    def run(self) -> Outcome:
        try:
            return self.context.run(self.function), None
        except BaseException as error:
            return None, error


def _nothing() -> None: ...


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
        self._work: queue.SimpleQueue[Started | None] = native_queue()
        self._state = native_lock()
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
        outcome = await self.start(function).future
        assert outcome is not None, "nobody has stopped waiting"
        value, error = outcome
        if error is not None:
            try:
                raise error
            finally:
                # The traceback holds this frame.
                del outcome, error
        result: T = value
        return result

    def start(self, function: Callable[[], Any], seconds: float | None = None) -> Started:
        """Have a thread run a function, to its end whoever waits for it.

        Args:
            function: The function. It runs in the context variables of the caller.
            seconds: When to call `Started.stop_waiting`; by default never.

        Raises:
            RuntimeError: If no event loop is running here.
        """
        loop = asyncio.get_running_loop()
        answers = self._answers.get(loop)
        if answers is None:
            answers = self._answers[loop] = _Answers(loop)
        started = Started(function, copy_context(), loop.create_future(), answers)
        if seconds is not None:
            answers.expect(started, seconds)
        self._put(started)
        return started

    def _put(self, work: Started) -> None:
        with self._state:
            self._waiting += 1
            starts = self._waiting > self._idle and self._threads < self._max_threads
            if starts:
                self._threads += 1
                self._idle += 1
        self._work.put(work)
        if starts:
            try:
                start_thread(self._serve, self._name, stop=self._stop_one)
            except BaseException:
                with self._state:
                    self._threads -= 1
                    self._idle -= 1
                    is_served = self._threads > 0
                if not is_served:
                    # The next thread takes it all the same, when its caller has been told.
                    work.function = _nothing
                    raise

    def _serve(self) -> None:
        """Run what is put, until there has been nothing for a while."""
        inbox, state = self._work, self._state
        while True:
            try:
                work = inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with state:
                    if self._waiting >= self._idle:
                        # Something has been put that no other thread will take.
                        continue
                    self._threads -= 1
                    self._idle -= 1
                return
            if work is None:
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
            work.answers.put(work, outcome)
            # Not for as long as the thread is idle.
            del work, outcome

    def _stop_one(self) -> None:
        self._work.put(None)

    def _finish(self) -> None:
        """Wait for what runs, at the end of the process."""
        with self._state:
            while self._threads and (self._busy or self._waiting):
                self._ended.wait(1.0)
