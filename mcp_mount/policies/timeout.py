"""How long a call may take."""

from __future__ import annotations

import heapq
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, TypeVar

from mcp_mount.calls.activity import is_lasting
from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, proceed
from mcp_mount.calls.green import is_green
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import Levels, PolicyKind
from mcp_mount.policies.values import instance_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import naming_options
from mcp_mount.schemas.values import flag
from mcp_mount.schemas.values import seconds as a_time
from mcp_mount.wire.errors import CallRejected, EndsRun, OutOfTime
from mcp_mount.wire.forks import after_fork

T = TypeVar("T")

_CAN_INTERRUPT: Final = sys.implementation.name == "cpython"

_ARRIVAL_ROUNDS: Final = 3
"""For how many milliseconds a function that has ended waits for an interruption on its way."""

_MAX_ENDED: Final = 1024
"""How many watches are kept before those of functions that have ended are dropped."""

_SOON_SECONDS: Final = 0.001
"""After which time, and twice that, and so on, a thread is looked at again that must not be
interrupted now."""

_AGAIN_SECONDS: Final = 0.1
"""After which time a function that goes on is interrupted again: it has caught the interruption, or
Python has dropped it, as it does in a `__del__` and where an abandoned generator is closed."""

_IMPORTS: Final = "<frozen importlib._bootstrap>"
# Functions there that take or release locks. (An import itself may take long: it is interrupted.)
_LOCKING: Final = frozenset(
    ["cb", "_get_module_lock", "_lock_unlock_module", "__enter__", "__exit__", "acquire", "release"]
)
_START: Final = threading.Thread.start.__code__
# Of `join` and `is_alive`, up to Python 3.12.
_WAIT: Final = getattr(getattr(threading.Thread, "_wait_for_tstate_lock", None), "__code__", None)

_LINGER_SECONDS: Final = 5.0
"""For how long the thread that watches stays when there is nothing to watch."""


class Timeout:
    """Answers the client if a call takes too long.

    A coroutine is cancelled at its next await, as by `asyncio.timeout`. A plain function is not
    stopped: it can check `ctx.cancelled` and `ctx.seconds_left` of its SyncContext. On an event
    loop the client is answered at once (in Django, if all its middleware is asynchronous); under
    WSGI, where the function has the request's own
    thread, when the function has ended. A late result is dropped, and the call has failed: when the
    function has ended, not before, its transaction is rolled back, and its dependencies see the
    exception.

    Args:
        seconds: How long a call may take.
        interrupt: Whether to raise an exception in a plain function at its next line of Python,
            and again every tenth of a second while it goes on. That line may be between taking a
            lock and releasing it, also in a library (the lock of a log handler, say): then the lock
            stays taken, and the process hangs. It is for functions that only compute, in CPython.
            A function with a SyncContext is never interrupted.

    Raises:
        DefinitionError: If the time is not a number above 0, or Python cannot interrupt functions.
    """

    @naming_options
    def __init__(self, seconds: float, *, interrupt: bool = False) -> None:
        checked = a_time("timeout", seconds)
        if flag("interrupt", interrupt) and not _CAN_INTERRUPT:
            raise DefinitionError(
                f"{sys.implementation.name} cannot interrupt functions: leave interrupt=True out"
            )
        self.seconds = float(checked)
        self._interrupt = interrupt

    def flow(self, call: Call) -> Flow[Result]:
        deadline, outer = time.monotonic() + self.seconds, call.incoming.deadline
        call.incoming.deadline = deadline if outer is None else min(deadline, outer)
        tracker = call.tracker
        assert tracker is not None, "a call with policies tells when its handler has ended"
        # Under gevent all requests are on one thread, and any of them would be interrupted.
        interrupt = self._interrupt and not call.wants_context and not is_green()
        if not call.is_async:
            call.limit = partial(limited, deadline, interrupt)
        try:
            return (yield from proceed(self.seconds))
        except OutOfTime as error:
            time_is = f"took longer than {self.seconds:g} seconds"
            if call.is_async and not is_lasting(call.function):
                words = f"{time_is} and was cancelled"
            elif isinstance(error, _WasInterrupted):
                words = f"{time_is} and was interrupted"
            elif not tracker.given_up:
                words = f"{time_is}: its result was dropped"
            elif not tracker.has_begun:
                words = f"could not begin within {self.seconds:g} seconds"
            elif interrupt:
                words = f"{time_is} and is being interrupted"
            else:
                words = f"{time_is}. It is not stopped: it may still be running"
            raise CallRejected(f"{call.name} {words}", status=504) from None
        finally:
            if not tracker.given_up:
                # Middleware may let the call run again, with new time.
                call.incoming.deadline = outer


class _WasInterrupted(OutOfTime):
    """A function has ended by an interruption."""


class _Interrupted(EndsRun):
    """Raised within a function that runs too long."""


def limited(deadline: float, interrupt: bool, function: Callable[[], T]) -> T:
    """Call a function that has a deadline.

    Args:
        deadline: By `time.monotonic`.
        interrupt: Whether to interrupt the function then, instead of waiting until it ends.
        function: The function.

    Returns:
        What it returns.

    Raises:
        OutOfTime: If it does not end in time.
    """
    value = _interrupted_at(deadline, function) if interrupt else function()
    if time.monotonic() > deadline:
        raise OutOfTime
    return value


def _interrupted_at(deadline: float, function: Callable[[], T]) -> T:
    watch = _Watch(deadline)
    try:
        _watches.begin(watch)
        try:
            value = function()
        except _Interrupted:
            raise
        except BaseException:
            watch.end()
            raise
        watch.end()
    except _Interrupted:
        # Its own, or that of a call around it; the other one may arrive in here.
        while not watch.over:
            try:  # noqa: SIM105 - another one could arrive in the code of `suppress`.
                watch.end()
            except _Interrupted:
                pass
        if not watch.fired:
            raise
        raise _WasInterrupted from None
    return value


class _Watch:
    """A thread that is to be interrupted at some time.

    An interruption may arrive at any line, also while a lock is taken. Where that happens, locks
    are those of C, whose `with` is safe: `Condition` and `Event` are not.
    """

    __slots__ = ("deadline", "fired", "over", "pause", "thread")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.thread = threading.get_ident()
        self.over = False
        self.fired = False
        self.pause = _SOON_SECONDS

    def __lt__(self, other: _Watch) -> bool:
        return self.deadline < other.deadline

    def is_interrupting(self, thread: int) -> bool:
        return self.fired and not self.over and self.thread == thread

    def fire(self, interrupt: Callable[[int, bool], None]) -> bool:
        """Interrupt the thread, if its function has not ended; False if it must not be now."""
        with _watches.lock:
            if self.over:
                return True
            if self._must_not_be_interrupted():
                return False
            self.fired = True
            interrupt(self.thread, True)
            # It may have gone on between the look and the interruption.
            if self._must_not_be_interrupted():
                interrupt(self.thread, False)
                return False
            return True

    def _must_not_be_interrupted(self) -> bool:
        """Whether the thread is not within the function, or within what must not be interrupted.

        Where it has left the call altogether, the watch is over: the identifier may be another
        thread's by now.
        """
        if self.thread in _forking:
            return True
        frame = innermost = _frame_of(self.thread)
        called, is_within, is_vulnerable = None, None, False
        while frame is not None:
            code = frame.f_code
            if code is _INTERRUPTED_AT:
                if is_within is None:
                    # Otherwise it is in the code here, before or after the function.
                    is_within = called is not None and called.f_code not in _OWN
                if frame.f_locals.get("watch") is self:
                    return is_vulnerable or not is_within
            is_vulnerable = is_vulnerable or _is_vulnerable(frame)
            frame, called = frame.f_back, frame
        # A frame that has ended meanwhile leads nowhere: the others were seen only if it has not.
        self.over = _frame_of(self.thread) is innermost
        return True

    def end(self) -> None:
        """The function has ended. An interruption that is still on its way arrives in here."""
        with _watches.lock:
            self.over = True
        if self.fired:
            for _ in range(_ARRIVAL_ROUNDS):
                time.sleep(0.001)


class _Watches:
    """Interrupts threads that run too long; a thread of its own waits while there are any.

    It is the way of RQ's death penalty, and with no other does a thread stop that looks nowhere.
    """

    def __init__(self) -> None:
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self._new: deque[_Watch] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._next = inf
        # One for all watches: a function may fork, and its own would stay taken in the child.
        self.lock = threading.Lock()
        self._runs = False

    def begin(self, watch: _Watch) -> None:
        with self.lock:
            if not self._runs:
                # Nothing can interrupt this thread here: its own watch is not queued yet, and that
                # of a call around it would have kept the watching thread running. `is_alive` is not
                # asked: it could be interrupted (see `_is_vulnerable`).
                threading.Thread(target=self._run, name="mcp-mount-timeouts", daemon=True).start()
                self._runs = True
            self._new.append(watch)
        if watch.deadline < self._next:
            # Most end before their time: waking the thread for each would cost more than they do.
            self._wake.put(None)

    def _run(self) -> None:
        interrupt = _interrupter()
        waiting: list[_Watch] = []
        while True:
            self._next = inf
            while self._new:
                heapq.heappush(waiting, self._new.popleft())
            if len(waiting) > _MAX_ENDED:
                waiting = [watch for watch in waiting if not watch.over]
                heapq.heapify(waiting)
            while waiting and (waiting[0].over or waiting[0].deadline <= time.monotonic()):
                watch = heapq.heappop(waiting)
                # Of calls within one another, the inner one would take the interruptions of both.
                is_turn = not any(one.is_interrupting(watch.thread) for one in waiting)
                if is_turn and watch.fire(interrupt):
                    watch.pause = _AGAIN_SECONDS
                else:
                    # It may be in a `join` for minutes.
                    watch.pause = min(2 * watch.pause, _AGAIN_SECONDS)
                if not watch.over:
                    watch.deadline = time.monotonic() + watch.pause
                    heapq.heappush(waiting, watch)
            self._next = waiting[0].deadline if waiting else inf
            if self._new:
                continue
            left = waiting[0].deadline - time.monotonic() if waiting else _LINGER_SECONDS
            with suppress(Empty):
                self._wake.get(timeout=max(0.0, left))
                continue
            if waiting:
                continue
            with self.lock:
                if not self._new:
                    self._runs = False
                    return


def _frame_of(thread: int) -> FrameType | None:
    return sys._current_frames().get(thread)


def _is_vulnerable(frame: FrameType) -> bool:
    """Whether an interruption within a frame would harm others.

    In `Thread.start` it would arrive in the new thread, until that knows its own identifier: in
    Python 3.11 it begins with that of its parent; and `start` would wait for ever. In `join` and
    `is_alive`, up to Python 3.12, it would mark a thread that runs as stopped. Where an import
    takes or releases its locks it could leave that of all imports taken.
    """
    code = frame.f_code
    if code is _WAIT:
        return True
    if code is _START:
        return frame.f_locals["self"].ident is None
    return code.co_filename == _IMPORTS and code.co_name in _LOCKING


_INTERRUPTED_AT: Final = _interrupted_at.__code__
_OWN: Final = frozenset(one.__code__ for one in (_Watch.__init__, _Watch.end, _Watches.begin))
"""What `_interrupted_at` calls besides the function."""

_forking: Final[set[int]] = set()
"""The threads that fork just now: around a fork, logging and other libraries hold their locks."""

if hasattr(os, "register_at_fork"):
    # What is registered last is called first before a fork, and last after it.
    os.register_at_fork(
        before=lambda: _forking.add(threading.get_ident()),
        after_in_parent=lambda: _forking.discard(threading.get_ident()),
        after_in_child=_forking.clear,
    )


def _interrupter() -> Callable[[int, bool], None]:
    """What raises the exception in a thread, or takes it back while it has not arrived.

    It is made before it is needed: while `ctypes` is imported, other threads go on.
    """
    # Few servers interrupt calls, and importing it takes 2 ms.
    import ctypes

    set_exception: Any = ctypes.pythonapi.PyThreadState_SetAsyncExc
    exceptions = (None, ctypes.py_object(_Interrupted))

    def interrupt(thread: int, on: bool) -> None:
        set_exception(ctypes.c_ulong(thread), exceptions[on])

    return interrupt


_watches = _Watches()


def _nearest(levels: Levels) -> Sequence[Timeout]:
    timeout = levels.nearest("timeout")
    return () if timeout is None else [timeout]


KIND: Final = PolicyKind(_nearest, {"timeout": instance_of(Timeout)})
