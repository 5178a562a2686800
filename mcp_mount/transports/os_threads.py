"""Threads of the operating system and what crosses them, where gevent may be at work."""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, Final, Generic, ParamSpec, TypeVar

from mcp_mount.calls.green import is_eventlet, is_gevent

T = TypeVar("T")
P = ParamSpec("P")

_MAX_SECONDS: Final = 60.0
"""How long to wait at a time: under gevent a wait without end is an error where nothing else is
waited for."""


_ENDING_SECONDS: Final = 5.0
"""How long the end of a process waits for threads that gevent has a hub for."""


class NoThread(RuntimeError):
    """A thread that cannot be had here."""


def start_thread(function: Callable[[], object], name: str, *, stop: Callable[[], object]) -> None:
    """Run a function on a daemon thread of the operating system, and never in a greenlet.

    An event loop needs one: as a greenlet it would be the running loop of all greenlets on its
    thread, and Django, for one, refuses database work where a loop is running.

    Args:
        function: What the thread runs.
        name: Of the thread.
        stop: Lets the function return soon. It is called at the end of the process under gevent.

    Raises:
        NoThread: Under eventlet, whose locks do not work between threads.
    """
    if is_eventlet():
        raise NoThread(
            "Coroutine functions do not run under eventlet, whose locks do not work between "
            "threads: use gevent, or plain functions"
        )
    if is_gevent():
        _GeventThread(function, stop).start()
    else:
        threading.Thread(target=function, name=name, daemon=True).start()


class _GeventThread:
    """A thread of the operating system under gevent, which makes a hub for each thread that waits.

    A thread that ends has to destroy its hub, or its memory and files stay. And a thread that is
    not at its end when the interpreter finalizes corrupts memory there or never lets it end (seen
    with gevent 26.9 and greenlet 3.5), so that the end of the process waits for it.
    """

    alive: ClassVar[set[_GeventThread]] = set()
    pid: ClassVar[int] = 0

    def __init__(self, function: Callable[[], object], stop: Callable[[], object]) -> None:
        self._function = function
        self._stop = stop

    def start(self) -> None:
        kind = type(self)
        if kind.pid != os.getpid():
            # The first one, or the first one after a fork, which threads do not survive.
            kind.alive = set()
            if not kind.pid:
                atexit.register(kind.finish)
            kind.pid = os.getpid()
        # The first hub of a process imports modules; two threads that do so at once wait for each
        # other for ever.
        sys.modules["gevent.hub"].get_hub()
        kind.alive.add(self)
        try:
            _original("_thread", "start_new_thread")(self._run, ())
        except BaseException:
            kind.alive.discard(self)
            raise

    def _run(self) -> None:
        try:
            self._function()
        finally:
            sys.modules["gevent.hub"].get_hub().destroy(destroy_loop=True)
            self.alive.discard(self)

    @classmethod
    def finish(cls) -> None:
        if cls.pid != os.getpid():
            return
        deadline = time.monotonic() + _ENDING_SECONDS
        for thread in list(cls.alive):
            with suppress(RuntimeError):
                thread._stop()
        # No lock or event, which may be of before gevent patched or of after it.
        while cls.alive and time.monotonic() < deadline:
            time.sleep(0.001)


def native_lock() -> threading.Lock:
    """A lock for threads of the operating system that hold it for a moment only.

    Those of gevent lose a wake-up now and then when several threads contend for one (gevent 26.9).
    """
    lock: threading.Lock = _original("_thread", "allocate_lock")()
    return lock


def native_queue() -> queue.SimpleQueue[Any]:
    """A queue that threads of the operating system take from, and that any thread may put into."""
    made: queue.SimpleQueue[Any] = _original("queue", "SimpleQueue")()
    return made


def native_sleep(seconds: float) -> None:
    """Hold the thread of the operating system, and under gevent all greenlets on it: also where
    none may wait, as in a signal handler that its event loop calls.

    Args:
        seconds: How long.
    """
    _original("time", "sleep")(seconds)


def _original(module: str, name: str) -> Any:
    patcher = sys.modules.get("gevent.monkey")
    if patcher is None:
        return getattr(sys.modules[module], name)
    return patcher.get_original(module, name)


class Inbox(Generic[T]):
    """A queue that any thread may put something into, and that one greenlet (or thread) takes from.

    The queues of `queue` are not for this: gevent replaces them by its own, which wake nobody on
    another thread, and the original ones would stop all greenlets of a thread. Its locks do wake,
    and so does a condition that is made of them. Where nothing is replaced, the queue of the
    standard library does it in C.
    """

    def __init__(self) -> None:
        self._native: queue.SimpleQueue[T] | None = None if is_gevent() else queue.SimpleQueue()
        self._items: deque[T] = deque()
        self._changed = threading.Condition(threading.Lock())

    def put(self, item: T) -> None:
        """Add an item."""
        if self._native is not None:
            self._native.put(item)
            return
        with self._changed:
            self._items.append(item)
            self._changed.notify()

    def get(self, timeout: float | None = None) -> T:
        """Wait for an item and take it.

        Args:
            timeout: How long to wait, in seconds; by default without end.

        Raises:
            queue.Empty: If none came in time.
        """
        if self._native is not None:
            return self._native.get(timeout=timeout) if timeout != 0 else self._native.get_nowait()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._items:
                left = _MAX_SECONDS if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise queue.Empty
                self._changed.wait(min(left, _MAX_SECONDS))
            return self._items.popleft()

    @property
    def is_empty(self) -> bool:
        """Whether there is no item."""
        return not self._items if self._native is None else self._native.empty()

    def get_nowait(self) -> T:
        """Take an item. Raises queue.Empty if there is none."""
        return self.get(timeout=0)


class NativePool(ThreadPoolExecutor):
    """A `ThreadPoolExecutor` whose threads are never greenlets, and hold up no end of a process.

    Under gevent those of the usual one would be greenlets on the thread that submits first, where
    an event loop may run, and which nobody wakes from another thread.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str) -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._most, self._name = max_workers, thread_name_prefix
        self._work: queue.SimpleQueue[Callable[[], None] | None] = native_queue()
        self._state = native_lock()
        self._begun = 0
        self._free = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        outcome: Future[T] = Future()

        def run() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                outcome.set_result(fn(*args, **kwargs))
            except BaseException as error:
                outcome.set_exception(error)

        with self._state:
            if self._free > 0:
                self._free -= 1
                starts = False
            else:
                starts = self._begun < self._most
                self._begun += starts
        self._work.put(run)
        if starts:
            start_thread(self._serve, self._name, stop=self._stop_one)
        return outcome

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when they have done what was submitted."""
        for _ in range(self._begun):
            self._stop_one()

    def _stop_one(self) -> None:
        self._work.put(None)

    def _serve(self) -> None:
        while (run := self._work.get()) is not None:
            run()
            del run
            with self._state:
                self._free += 1
