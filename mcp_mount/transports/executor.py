"""A thread that waits for a coroutine serves it meanwhile.

What the coroutine must have done by plain functions (rules, plain tools that it calls, a
framework's database work) comes back to that thread through an `Executor`, which the coroutine
finds in a context variable.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import Context, Token, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from greenlet import getcurrent, greenlet

from mcp_mount.calls.green import is_green
from mcp_mount.calls.questions import Suspended
from mcp_mount.calls.serving import serving as serving_thread
from mcp_mount.transports.os_threads import Inbox
from mcp_mount.wire.errors import contained

T = TypeVar("T")
P = ParamSpec("P")

on_entering: Final[list[Callable[[Executor], None]]] = []
"""Called at the beginning of each coroutine that a thread waits for, on its event loop: a framework
that chooses threads itself (asgiref) learns there which one serves."""

on_moving: Final[list[Callable[[], None]]] = []
"""Called in context variables that have been brought to another thread, before anything else runs
in them: a framework that ties them to threads (asgiref, again) takes them along."""

on_branching: Final[list[Callable[[], AbstractContextManager[None]]]] = []
"""Called where gevent has made greenlets of threads and one goes on in another greenlet, which
enters what is returned: a framework that keeps connections by thread takes them along."""


def branch(function: Callable[[], Any]) -> greenlet:
    """A greenlet for a part of what this thread does."""
    if not is_green():
        return greenlet(function)
    managers = [make() for make in on_branching]

    def run() -> Any:
        with ExitStack() as stack:
            for manager in managers:
                stack.enter_context(manager)
            return function()

    return greenlet(run)


class Executor(concurrent.futures.Executor):
    """Runs what is submitted on the thread that made it, whenever that thread waits.

    What it runs may itself wait for a coroutine (a plain function that is called by a coroutine
    calls another one). It is set aside then, in a greenlet, and the thread goes on serving; of
    several that wait, the one that came last goes on first, as if each had called the next: so
    transactions that they have begun end in the right order. What the loop has for the thread
    besides work are messages, which are there when the thread asks for them.
    """

    def __init__(self) -> None:
        self._inbox: Inbox[_Item] = Inbox()
        self._messages: deque[Any] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._main: greenlet | None = None
        self._set_aside: list[_SetAside] = []

    @property
    def runs_this(self) -> bool:
        """Whether whoever asks is run by it, and so could wait here once more."""
        one: greenlet | None = getcurrent()
        while one is not None and one is not self._main:
            one = one.parent
        return one is not None

    @property
    def has_work(self) -> bool:
        """Whether something waits for the thread."""
        return bool(self._set_aside) or not self._inbox.is_empty

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on the waiting thread, in the context variables of the caller.

        Args:
            fn: The function.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Raises:
            RuntimeError: If the thread does not wait any more.
        """
        work = _Work(partial(fn, *args, **kwargs), copy_context(), Future())
        with self._lock:
            if self._closed:
                raise RuntimeError(
                    "The call that this coroutine belongs to has ended: its thread runs nothing "
                    "for it any more. Await in a handler what the handler starts."
                )
            self.put(work)
        return work.outcome

    def say(self, message: Any) -> None:
        """Give the thread a message, from any other one."""
        self.put(_Message(message))

    def heard(self, timeout: float | None = None) -> Any:
        """The next message; runs what is submitted until there is one. On its own thread.

        Raises queue.Empty after `timeout` seconds without one.
        """
        deadline = _deadline(timeout)
        while not self._messages:
            self._take(deadline)
        return self._messages.popleft()

    def serve(self, until: Future[Any], timeout: float | None = None) -> None:
        """Run what is submitted until a future has its outcome. On its own thread.

        Raises queue.Empty after `timeout` seconds.
        """
        until.add_done_callback(lambda _: self.put(None))
        deadline = _deadline(timeout)
        if self._main is not None and self._main is not getcurrent():
            self._set_aside.append(_SetAside(getcurrent(), until, deadline))
            self.expect(deadline)
            self._main.switch()
            if not until.done():
                raise queue.Empty
            return
        while self._set_aside or not until.done():
            self._take(deadline)

    def serve_waiting(self) -> None:
        """Run what is there, and do not wait for more. On its own thread."""
        with suppress(queue.Empty):
            while True:
                self._take(0.0)

    def put(self, item: _Item) -> None:
        """Let the thread have something, from any other one."""
        self._inbox.put(item)

    def expect(self, deadline: float | None) -> None:
        """Something was set aside that goes on at a deadline (monotonic clock), if not before."""

    async def entered(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await what a coroutine function returns, with this as the executor of its plain work."""
        moved()
        self.enter()
        return await function()

    def enter(self) -> Token[concurrent.futures.Executor | None]:
        """Be the executor of the coroutine that runs, and of all tasks that it starts.

        Returns what `leave` takes.
        """
        token = serving_thread.set(self)
        for enter in on_entering:
            enter(self)
        return token

    @staticmethod
    def leave(token: Token[concurrent.futures.Executor | None]) -> None:
        """Let the coroutine have the executor that it had before."""
        serving_thread.reset(token)

    def close(self) -> None:
        """Refuse all work from now on, also what has been submitted and has not begun."""
        while self._set_aside:
            self._take(None)
        with self._lock:
            self._closed = True
        try:
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, _Work):
                    item.outcome.cancel()
        except queue.Empty:
            pass

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: the thread, and whoever waits on it, are not its own."""

    def _take(self, deadline: float | None) -> None:
        """Take the next thing, and do it. Raises queue.Empty when the time is over."""
        outer, self._main = self._main, getcurrent()
        try:
            last = self._set_aside[-1] if self._set_aside else None
            if last is not None and last.is_ready:
                self._set_aside.pop().run.switch()
                return
            try:
                item = self._inbox.get(
                    timeout=_seconds(deadline, None if last is None else last.deadline)
                )
            except queue.Empty:
                if last is not None and last.is_ready:
                    return
                raise
            if isinstance(item, _Message):
                self._messages.append(item.content)
            elif item is not None:
                branch(item.run).switch()
        finally:
            self._main = outer


@dataclass(slots=True)
class _SetAside:
    """Something that an executor runs, and that waits."""

    run: greenlet
    until: Future[Any]
    deadline: float | None

    @property
    def is_ready(self) -> bool:
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.until.done()


def moved() -> None:
    """Note that the current context variables have come to this thread from another one."""
    for move in on_moving:
        move()


def run_moved(function: Callable[[], T]) -> T:
    """Run a function in context variables that have come to this thread from another one."""
    moved()
    return function()


@dataclass(slots=True)
class _Message:
    content: Any


@dataclass(slots=True)
class _Work:
    """A function for the thread of an executor."""

    function: Callable[[], Any]
    context: Context
    outcome: Future[Any]

    def run(self) -> None:
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            self.outcome.set_result(self.context.run(run_moved, self.function))
        except Suspended as suspended:
            # It ends the coroutine that has sent the function here, and not what serves it.
            self.outcome.set_exception(suspended)
        except BaseException as error:
            try:
                self.outcome.set_exception(contained(error))
            except BaseException:
                self.outcome.set_exception(asyncio.CancelledError())
                raise


_Item: TypeAlias = _Work | _Message | None
"""Something for a thread: work, a message, or a mere reminder to look what is over."""


def thread_of(run: greenlet) -> greenlet:
    """The greenlet that a thread began with: under gevent thread idents are those of greenlets."""
    while run.parent is not None:
        run = run.parent
    return run


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _seconds(*deadlines: float | None) -> float | None:
    """How long it is until the first of several deadlines."""
    given = [deadline for deadline in deadlines if deadline is not None]
    return max(0.0, min(given) - time.monotonic()) if given else None


@contextmanager
def serving() -> Iterator[Executor]:
    """The executor of this thread, while it waits: the one that it has already, or one of its own,
    which ends with the block."""
    outer = waiting_thread()
    if outer is not None and outer.runs_this:
        yield outer
        return
    executor = Executor()
    try:
        yield executor
    finally:
        executor.close()


def waiting_thread() -> Executor | None:
    """The executor of the thread that waits for this coroutine, if one does."""
    found = serving_thread.get()
    assert found is None or isinstance(found, Executor)
    return found
