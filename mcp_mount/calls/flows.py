"""Flows: what runs around a handler, written once for threads and for event loops.

A flow is a generator. It yields what it needs as a step and gets the answer sent in, or the
exception thrown in; on a thread a driver does the step, on an event loop it awaits it
(`transports/driving.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from mcp_mount.calls.results import Result

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Do(Generic[T]):
    """An operation that is done in one way on a thread and in another on an event loop.

    Attributes:
        do: Does it on a thread; it may block.
        awaited: Does it on a loop; None if it takes no time, and is done in the same way.
    """

    do: Callable[[], T]
    awaited: Callable[[], Awaitable[T]] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A function that may take time: a plain one goes to a thread, a coroutine function to an event
    loop."""

    function: Callable[[], Any]
    is_async: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """The result of a future. Throws TimeoutError in after `timeout` seconds."""

    future: Future[Any]
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Proceed:
    """Run what is further in: other policies, and then the handler. Its result, or its exception,
    is sent in.

    Attributes:
        timeout: After how many seconds OutOfTime is thrown in. A plain function on the thread of
            its request is not left alone by that: see `Call.limit`.
    """

    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Enter:
    """A function of the user's that goes on inwards by itself: `function(call, call_next)`."""

    function: Callable[..., Any]
    is_async: bool


Step: TypeAlias = Do[Any] | Run | Pause | Wait | Proceed | Enter | None
"""A step; None is `Proceed()`."""

Flow: TypeAlias = Generator[Step, Any, T]


def proceed(timeout: float | None = None) -> Flow[Result]:
    """The step inwards, within a flow: `result = yield from proceed()`."""
    result: Result = yield Proceed(timeout)
    return result


def done(asked: T | Do[T]) -> Flow[T]:
    """The outcome of something that is known at once, or by a step."""
    if isinstance(asked, Do):
        value: T = yield asked
        return value
    return asked


def then(asked: T | Do[T], function: Callable[[T], U]) -> U | Do[U]:
    """A function of the outcome of something that is known at once, or by a step."""
    if not isinstance(asked, Do):
        return function(asked)
    awaitable = asked.awaited

    async def awaited() -> U:
        assert awaitable is not None
        return function(await awaitable())

    return Do(lambda: function(asked.do()), None if awaitable is None else awaited)


def step(make: Callable[[], Flow[T]]) -> Do[T]:
    """A flow whose steps are all of the kind `Do`, as one of these.

    Args:
        make: Makes the flow, each time when the step is taken.
    """

    def do() -> T:
        flow = make()
        try:
            one = next(flow)
            while True:
                assert isinstance(one, Do)
                try:
                    answer = one.do()
                except BaseException as error:
                    one = flow.throw(error)
                else:
                    one = flow.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    async def awaited() -> T:
        flow = make()
        try:
            one = next(flow)
            while True:
                assert isinstance(one, Do)
                try:
                    answer = one.do() if one.awaited is None else await one.awaited()
                except BaseException as error:
                    one = flow.throw(error)
                else:
                    one = flow.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    return Do(do, awaited)


def at_once(asked: T | Do[T]) -> T:
    """The outcome of something that is known at once, or of a step that is taken on the spot: where
    nothing can wait, and only a backend in another process needs a step."""
    return asked.do() if isinstance(asked, Do) else asked


async def awaited(value: Awaitable[T]) -> T:
    """A coroutine of an awaitable, for `Run` and for tasks, which take nothing else."""
    return await value
