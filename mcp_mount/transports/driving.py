"""Drivers of flows: how a call runs with its policies around it, on a thread or on an event loop.

Policies run where the driver is; what cannot be done there is brought to where it
can. A plain function never runs on an event loop, a coroutine never without one.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from mcp_mount.calls.activity import RunTracker, is_lasting
from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Do, Enter, Flow, Pause, Proceed, Run, Step, Wait
from mcp_mount.calls.results import Result
from mcp_mount.protocol.exchange import Opened, Protocol
from mcp_mount.transports import background
from mcp_mount.transports.executor import serving, waiting_thread
from mcp_mount.transports.lasting import ended, keep, wait_until_done
from mcp_mount.transports.threads import Runner, off_loop
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.errors import OutOfTime, contained, contained_async
from mcp_mount.wire.messages import Request

T = TypeVar("T")

_CLEANING_SECONDS: Final = 1.0
"""How long a coroutine that ran out of time may take to clean up before its client is answered."""

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, Any]], tuple[Future[Any], Callable[[], None]]]
"""Starts a coroutine on an event loop: its future, and what cancels it from any thread."""

turns: Final[ContextVar[asyncio.Lock | None]] = ContextVar("mcp_mount.turns", default=None)
"""Set within a coroutine whose calls of other handlers run one after another, also where it gathers
them: in one transaction, what has begun within another must end before it."""


def drive(call: Call, runner: Runner, spawn: Spawn = background.spawn) -> None:
    """Run a call on this thread, with the policies that wrap it.

    Args:
        call: The call.
        runner: How the host runs handlers.
        spawn: Starts coroutines.
    """
    if not call.policies and not call.is_async:
        runner.run(call)
        return
    try:
        call.conclude(_OnThread(call, runner, spawn).inwards(0))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        call.conclude(contained(error))


async def drive_async(call: Call, runner: Runner) -> None:
    """Run a call on this event loop, with its policies.

    A plain function that has begun runs to its end, with its policies, also when this
    is cancelled: its client has left, and its work counts.
    """
    if not call.policies:
        if call.is_async:
            await runner.run_async(call)
        else:
            await runner.off_loop(partial(runner.run, call))
        return
    if call.is_async:
        await _conclude(call, runner)
        return
    task = keep(asyncio.ensure_future(_conclude(call, runner)))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        # The function may look at that.
        call.cancelled = True
        if _tracker_of(call).prevent():
            cancel(task)
            await asyncio.wait([task])
        raise


async def drive_within(call: Call, runner: Runner) -> None:
    """Run a call that a coroutine makes within its own, on this event loop.

    What the coroutine has around it (a transaction, a session) stays until the call has ended: a
    plain function that has begun is waited for, also when the coroutine is cancelled.
    """
    async with turns.get() or nullcontext():
        if call.is_async:
            await drive_async(call, runner)
        else:
            await _drive_to_its_end(call, runner)


async def _drive_to_its_end(call: Call, runner: Runner) -> None:
    tracker = RunTracker()

    def run(one: Call) -> None:
        if tracker.begin():
            runner.run(one)

    def leave() -> None:
        # The function may look at that.
        call.cancelled = True
        if tracker.prevent():
            cancel(task)

    task = keep(asyncio.ensure_future(drive_async(call, replace(runner, run=run))))
    if (cancellation := await wait_until_done(task, leave)) is not None:
        raise cancellation
    task.result()


async def _conclude(call: Call, runner: Runner) -> None:
    try:
        call.conclude(await _OnLoop(call, runner).inwards(0))
    except BaseException as error:
        call.conclude(contained_async(error))


def _tracker_of(call: Call) -> RunTracker:
    assert call.tracker is not None, "a call with policies tells when its handler has ended"
    return call.tracker


def open_request(protocol: Protocol, request: Request) -> Opened:
    """Let a request in, on this thread, and open it."""
    settings = protocol.settings
    if settings.auth is not None or settings.startup is not None:
        refusal = follow(protocol.admit(request))
        if refusal is not None:
            return refusal
    return follow(protocol.open(request))


async def open_request_async(protocol: Protocol, request: Request, runner: Runner) -> Opened:
    """Let a request in, on this event loop, and open it: on a thread, if that may block."""
    settings = protocol.settings
    if settings.auth is not None or settings.startup is not None:
        refusal = await follow_async(protocol.admit(request), runner)
        if refusal is not None:
            return refusal
    if request.may_block or protocol.settings.may_block:
        return await off_loop(runner, partial(follow, protocol.open(request)))
    return await follow_async(protocol.open(request), runner)


def follow(
    flow: Flow[T],
    proceed: Callable[[Step], Any] | None = None,
    spawn: Spawn = background.spawn,
) -> T:
    """Take the steps of a flow on this thread.

    Args:
        flow: The flow.
        proceed: Takes the steps that lead further in.
        spawn: Starts coroutines.

    Returns:
        What the flow returns.
    """
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = flow.send(answer) if error is None else flow.throw(error)
            answer = error = None
            try:
                if isinstance(step, Do):
                    answer = step.do()
                elif isinstance(step, Run):
                    answer = _run(step, spawn)
                elif isinstance(step, Wait):
                    answer = _result(step)
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    assert proceed is not None, "there is nothing further inwards"
                    answer = proceed(step)
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        # The traceback of an exception that leaves here holds this frame: the frame must not hold
        # the exception.
        del error


async def follow_async(
    flow: Flow[T], runner: Runner, proceed: Callable[[Step], Awaitable[Any]] | None = None
) -> T:
    """Take the steps of a flow on this event loop."""
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = flow.send(answer) if error is None else flow.throw(error)
            answer = error = None
            try:
                if isinstance(step, Do):
                    answer = step.do() if step.awaited is None else await step.awaited()
                elif isinstance(step, Run) and step.is_async:
                    answer = await step.function()
                elif isinstance(step, Run):
                    answer = await off_loop(runner, step.function)
                elif isinstance(step, Wait):
                    answer = await _result_async(step)
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    assert proceed is not None, "there is nothing further inwards"
                    answer = await proceed(step)
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        # The traceback of an exception that leaves here holds this frame: the frame must not hold
        # the exception.
        del error


def wait_for(
    function: Callable[[], Awaitable[T]],
    spawn: Spawn = background.spawn,
    *,
    timeout: float | None = None,
    give_up: Callable[[], bool] = lambda: True,
    begun: Callable[[Callable[[], None]], object] | None = None,
) -> T:
    """Wait on this thread for a coroutine, and run meanwhile what it wants done here.

    Args:
        function: Makes the coroutine, on its event loop.
        spawn: Starts it there.
        timeout: Seconds until it is cancelled.
        give_up: Asked then whether it still may be.
        begun: Called with what cancels it, from any thread.

    Returns:
        What the coroutine returns.

    Raises:
        OutOfTime: If it took longer than `timeout`; it has ended then.
        concurrent.futures.CancelledError: If it was cancelled.
    """
    with serving() as executor:
        outcome, cancel = spawn(executor.entered(function))
        try:
            if begun is not None:
                begun(cancel)
            executor.serve(outcome, timeout)
        except queue.Empty:
            if give_up():
                raise OutOfTime from None
            executor.serve(outcome)
        finally:
            if not outcome.done():
                cancel()
                # What cleans up may need this thread, and what the thread holds.
                executor.serve(outcome)
        result: T = outcome.result()
        return result


def _run(step: Run, spawn: Spawn) -> Any:
    return wait_for(step.function, spawn) if step.is_async else step.function()


def _result(step: Wait) -> Any:
    try:
        return step.future.result(step.timeout)
    except FutureTimeout as error:
        # Another class than the builtin one before Python 3.11.
        raise TimeoutError from error


async def _result_async(step: Wait) -> Any:
    """As `_result`, on an event loop. Of asyncio's own ways, each of which makes several futures
    and a task, none is cheap enough for calls that wait by the hundred."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    def call_back(future: object) -> None:
        # The loop may have ended.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(wake)

    step.future.add_done_callback(call_back)
    timer = None if step.timeout is None else loop.call_later(step.timeout, wake)
    try:
        await woken
    finally:
        if timer is not None:
            timer.cancel()
    if not step.future.done():
        raise TimeoutError
    return step.future.result()


async def _limited(work: Awaitable[T], timeout: float | None) -> T:
    if timeout is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([task], timeout=timeout)
    except BaseException:
        await _end(task)
        raise
    if not done:
        await _end(task)
        raise TimeoutError
    return task.result()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and let it clean up; what it says of its end is nobody's concern."""
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    cancel(task)
    await asyncio.wait([task], timeout=_CLEANING_SECONDS)


class _OnThread:
    """A call on a thread.

    Attributes:
        spawn: Starts coroutines.
    """

    def __init__(self, call: Call, runner: Runner, spawn: Spawn) -> None:
        self._call = call
        self._runner = runner
        self._spawn = spawn
        self._timeout: float | None = None

    def inwards(self, index: int) -> Result:
        """The result of the policy at `index` and all within it; of the handler, after the last."""
        if index < len(self._call.policies):
            flow = self._call.policies[index].flow(self._call)
            return follow(flow, partial(self._proceed, index + 1), self._spawn)
        self._call.prepare()
        if self._call.is_async:
            self._run_elsewhere()
        else:
            self._runner.run(self._call)
        return self._call.outcome()

    def _run_elsewhere(self) -> None:
        """Run a coroutine, and wait for it here as long as it has time."""
        run = partial(self._runner.run_async, self._call)
        if self._timeout is None:
            wait_for(run, self._spawn)
        else:
            give_up = _tracker_of(self._call).give_up
            wait_for(run, self._spawn, timeout=self._timeout, give_up=give_up)

    def _proceed(self, index: int, step: Step) -> Any:
        if not isinstance(step, Enter):
            # For a plain function a time limit holds where it runs: see Call.limit.
            if isinstance(step, Proceed) and step.timeout is not None:
                self._timeout = step.timeout
            return self.inwards(index)
        if not step.is_async:
            return step.function(self._call, partial(self.inwards, index))
        return self._enter(step, partial(self.inwards, index))

    def _enter(self, step: Enter, inwards: Callable[[], Result]) -> Any:
        """Let a coroutine run elsewhere, and come back to this thread for what is within it."""

        async def call_next() -> Any:
            return await asyncio.get_running_loop().run_in_executor(waiting_thread(), inwards)

        return wait_for(partial(step.function, self._call, call_next), self._spawn)


class _OnLoop:
    """A call on an event loop."""

    def __init__(self, call: Call, runner: Runner) -> None:
        self._call = call
        self._runner = runner

    async def inwards(self, index: int) -> Result:
        """The result of the policy at `index` and all within it; of the handler, after the last."""
        if index < len(self._call.policies):
            flow = self._call.policies[index].flow(self._call)
            return await follow_async(flow, self._runner, partial(self._proceed, index + 1))
        self._call.prepare()
        if self._call.is_async:
            await self._runner.run_async(self._call)
        else:
            try:
                await self._runner.off_loop(partial(self._runner.run, self._call))
            except asyncio.CancelledError:
                # Its policies may close what the function uses, so they wait for its end.
                if not _tracker_of(self._call).prevent():
                    await ended(_tracker_of(self._call))
                raise
        return self._call.outcome()

    async def _proceed(self, index: int, step: Step) -> Any:
        if not isinstance(step, Enter):
            timeout = step.timeout if isinstance(step, Proceed) else None
            if timeout is None:
                return await self.inwards(index)
            return await self._within(timeout, index)
        if step.is_async:
            return await step.function(self._call, partial(self.inwards, index))
        # From here on the call is on a thread: what is within needs no other one.
        inner = _OnThread(self._call, self._runner, spawner(asyncio.get_running_loop()))
        enter = partial(step.function, self._call, partial(inner.inwards, index))
        return await off_loop(self._runner, enter)

    async def _within(self, timeout: float, index: int) -> Result:
        """All that stands further in, as long as it has time. A coroutine is cancelled then; a
        plain function goes on, and is not waited for."""
        task = keep(asyncio.ensure_future(self.inwards(index)))
        try:
            done, _ = await asyncio.wait([task], timeout=timeout)
            if not done and not _tracker_of(self._call).give_up():
                # It has ended in time: what its host does around it goes on.
                done, _ = await asyncio.wait([task])
        except BaseException:
            await _end(task)
            raise
        if done:
            return task.result()
        if is_lasting(self._call.function):
            task.cancel()
        elif self._call.is_async:
            await _end(task)
        raise OutOfTime


def spawner(loop: asyncio.AbstractEventLoop) -> Spawn:
    """What starts coroutines on `loop`, from other threads."""

    def spawn(coroutine: Coroutine[Any, Any, Any]) -> tuple[Future[Any], Callable[[], None]]:
        outcome = asyncio.run_coroutine_threadsafe(coroutine, loop)

        def cancel() -> None:
            outcome.cancel()

        return outcome, cancel

    return spawn
