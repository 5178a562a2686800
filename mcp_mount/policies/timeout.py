"""How long a call may take."""

from __future__ import annotations

import ctypes
import heapq
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

from mcp_mount.features.functions import DefinitionError
from mcp_mount.protocol.calls import Call, Result
from mcp_mount.protocol.errors import OutOfTime, Refusal
from mcp_mount.protocol.flows import Flow, proceed

T = TypeVar("T")

_CAN_INTERRUPT: Final = sys.implementation.name == "cpython"

_LINGER_SECONDS: Final = 5.0
"""For how long the thread that watches stays when there is nothing to watch."""


class Timeout:
    """Ends calls after a number of seconds.

    A coroutine is cancelled. A plain function is interrupted at its next line of Python: one that
    waits in a library written in C (a query, a socket) is interrupted when that returns. Where an
    event loop serves the client, it is answered at once; under WSGI, where the function has the
    request's own thread, when the function has ended. One with a SyncContext is not interrupted,
    but ends where it next speaks. Whatever the function returns too late is dropped, and its
    transaction rolled back.
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
            raise DefinitionError(f"timeout is a number of seconds above 0, not {seconds!r}")
        self.seconds = float(seconds)

    def flow(self, call: Call) -> Flow[Result]:
        deadline, outer = time.monotonic() + self.seconds, call.incoming.deadline
        call.incoming.deadline = deadline if outer is None else min(deadline, outer)
        if not call.is_async:
            call.limit = partial(limited, deadline, not call.wants_context)
        try:
            return (yield from proceed(self.seconds))
        except OutOfTime:
            # A coroutine has ended; a plain function may still return something.
            call.abandoned = not call.is_async
            raise Refusal(
                f"{call.name} took longer than {self.seconds:g} seconds and was stopped",
                status=504,
            ) from None


class _Interrupted(BaseException):
    """Raised within a function that runs too long. No Exception, so that `except Exception` in the
    function lets it pass."""


def limited(deadline: float, interrupt: bool, function: Callable[[], T]) -> T:
    """What a function returns; raises OutOfTime if it does not by `deadline` (monotonic clock).

    interrupt: whether to stop it then, and not to wait until it ends by itself.
    """
    if not interrupt or not _CAN_INTERRUPT:
        value = function()
    else:
        watch = _watches.begin(deadline)
        try:
            try:
                value = function()
            except _Interrupted:
                raise
            except BaseException:
                _watches.end(watch)
                raise
            _watches.end(watch)
        except _Interrupted:
            raise OutOfTime from None
    if time.monotonic() > deadline:
        raise OutOfTime
    return value


class _Watch:
    """A thread that is to be interrupted at some time."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.over = False
        self.fired = False


class _Watches:
    """Interrupts threads that run too long; a thread of its own waits while there are any.

    It is the way of RQ's death penalty, and with no other does a thread stop that looks nowhere.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, _Watch]] = []
        self._order = count()
        self._thread: threading.Thread | None = None

    def begin(self, deadline: float) -> _Watch:
        watch = _Watch()
        with self._changed:
            heapq.heappush(self._queue, (deadline, next(self._order), watch))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="mcp-mount-timeouts", daemon=True
                )
                self._thread.start()
            elif self._queue[0][2] is watch:
                self._changed.notify()
        return watch

    def end(self, watch: _Watch) -> None:
        """The function has ended. An interruption that is still on its way arrives in here."""
        with self._changed:
            watch.over = True
        attempts = 50 if watch.fired else 0
        # A function may have swallowed it, so there is an end to the patience.
        for _ in range(attempts):
            time.sleep(0.001)

    def _run(self) -> None:
        with self._changed:
            idle = False
            while self._queue or not idle:
                if not self._queue:
                    idle = not self._changed.wait(_LINGER_SECONDS)
                    continue
                deadline, _, watch = self._queue[0]
                if watch.over:
                    heapq.heappop(self._queue)
                elif (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(min(left, _LINGER_SECONDS))
                else:
                    heapq.heappop(self._queue)
                    watch.fired = True
                    _interrupt(watch.thread)
            self._thread = None


def _interrupt(thread: int) -> None:
    set_exception: Any = ctypes.pythonapi.PyThreadState_SetAsyncExc
    set_exception(ctypes.c_ulong(thread), ctypes.py_object(_Interrupted))


_watches = _Watches()
