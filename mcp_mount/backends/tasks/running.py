"""One task in this process: what runs it, what it asks, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mcp_mount.backends.tasks.contexts import Around
from mcp_mount.backends.tasks.workers import Workers
from mcp_mount.calls.backplane import Asked
from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.flows import Do, at_once
from mcp_mount.calls.questions import (
    InputRequest,
    PendingInput,
    as_requests,
    read_answers,
    require_capabilities,
)
from mcp_mount.calls.tasks import TERMINAL, Task
from mcp_mount.protocol.task_methods import Job, TaskRun, new_task
from mcp_mount.protocol.task_records import failed
from mcp_mount.transports import background
from mcp_mount.transports.channels import LoopChannel, ThreadChannel, answered
from mcp_mount.transports.driving import Spawn, drive, drive_async, spawner, wait_for
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.errors import INTERNAL_ERROR, EndsRun, ProtocolError, contained
from mcp_mount.wire.messages import ResponseMessage, encode_error_object


class TaskCancelled(EndsRun):
    """Ends a plain function whose task was cancelled, where it next speaks."""


class TaskKeeper(Protocol):
    """Keeps the tasks of this process.

    Attributes:
        runner: How the host runs plain functions.
        workers: The threads of tasks.
        detach: Prepares a call to outlive its request, and gives the context variables to run it
            in.
    """

    runner: Runner
    workers: Workers
    detach: Callable[[Call], Context]

    def show(self, task: Task) -> None:
        """Show other processes the new state of a task, after those that it had before."""

    def changed(self, task: Task) -> None:
        """Note the new state of a task, which was shown."""

    def has_room_for(self, size: int, task: Task, until: float) -> Asked[bool]:
        """Whether the outcome of a task, of `size` bytes, can be kept `until` then."""


class RunningTask:
    """One task: its state, its questions, and the thread or event loop task that runs it.

    It is the dialogue of its call, and knows nothing of the request that began it.
    """

    def __init__(
        self,
        keeper: TaskKeeper,
        job: Job,
        run: TaskRun,
        around: Around | None,
        until: float,
        *,
        node: str,
        task: Task | None = None,
    ) -> None:
        self._around = around
        self._until = until
        self._keeper = keeper
        self._run = run
        self._given = job.answers
        self._capabilities = job.client_capabilities
        self._open: dict[str, tuple[InputRequest[Any], Future[ResponseMessage | None]]] = {}
        self._asked: dict[str, int] = {}
        self._stop: Callable[[], object] = lambda: None
        self._lock = threading.RLock()
        self._cancelling = False
        self._noticed = self._has_begun = False
        self._outcome: tuple[str, bytes] | None = None
        self._has_room = True
        self.state = task or new_task(job, node)
        # What it calls adds to them.
        self.state.rules = run.call.incoming.met_rules
        self.id = self.state.id
        run.call.incoming = replace(run.call.incoming, dialogue=self, task=self)

    @property
    def cancelled(self) -> bool:
        """Whether the task is to end; the handler that looks here has noticed."""
        self._noticed |= self._cancelling
        return self._cancelling

    def start(self) -> None:
        """Begin to run: on the event loop of the request, or else on the background one; a plain
        function on a thread of its own."""
        call = self._run.call
        context = self._keeper.detach(call)
        loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
        # What it needs of a loop, such as dependencies, belongs to that of the request.
        spawn = background.spawn if loop is None else spawner(loop)
        if not call.is_async or self._around is not None:
            run = self._run_from_thread if call.is_async else self._run_on_thread
            withdraw = self._keeper.workers.submit(partial(context.run, run, spawn))
            with self._lock:
                if not self._has_begun:
                    self._stop = withdraw
            return
        if loop is None:
            outcome, self._stop = context.run(background.spawn, self._run_and_measure())
            outcome.add_done_callback(self._end_of_coroutine)
            return
        task = context.run(loop.create_task, self._run_and_measure())
        task.add_done_callback(self._end_of_coroutine)
        self._stop = partial(_cancel, task)

    def run_here(self) -> None:
        """Run on this thread, to the end; a coroutine on the background loop, while this thread
        does what is plain for it."""
        if self._cancelling:
            self._end(cancelled=True)
        elif self._run.call.is_async:
            self._run_from_thread(background.spawn)
        else:
            self._run_on_thread(background.spawn)

    def say(self, message: str) -> None:
        """Set the status message."""
        self._end_if_cancelled()
        self._change(message=message)

    def answer(self, responses: Mapping[str, Any]) -> None:
        """Hand in answers; keys that wait for none are ignored."""
        with self._lock:
            for key in responses.keys() & self._open.keys():
                _, future = self._open.pop(key)
                if future.set_running_or_notify_cancel():
                    future.set_result(ResponseMessage(key, responses[key]))
            self._show_questions()

    def cancel(self) -> None:
        """Let the task end: a coroutine at once, a function where it next speaks or looks."""
        with self._lock:
            if self.state.status in TERMINAL:
                return
        if self._interrupt():
            self._change(status="cancelled")

    def fail(self, message: str) -> None:
        """Fail at once, whatever the handler does, which is told to end.

        Args:
            message: Why, for the client.
        """
        with self._lock:
            if self.state.status in TERMINAL:
                return
            state = self.state = failed(self.state, message)
            self._keeper.show(state)
        self._keeper.changed(state)
        self._interrupt()

    def _interrupt(self) -> bool:
        """Let the handler end; whether it is a function that had not begun, or is bound to end."""
        with self._lock:
            self._cancelling = True
            waiting = [future for _, future in self._open.values()]
        for future in waiting:
            if not future.cancelled() and future.cancel():
                # `concurrent.futures.wait` does not wake up for a future that is cancelled only.
                future.set_running_or_notify_cancel()
        return self._stop() is True or (not self._run.call.is_async and bool(waiting))

    def known(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        require_capabilities(self._capabilities, input_requests)
        return read_answers(input_requests, self._given)[0]

    def put(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, PendingInput]:
        timeout = max(0.0, self._until - time.monotonic())
        questions: dict[str, PendingInput] = {}
        with self._lock:
            self._end_if_cancelled()
            for key, input_request in input_requests.items():
                future: Future[ResponseMessage | None] = Future()
                shown = self._fresh(key)
                self._open[shown] = input_request, future
                close = partial(self._close, shown)
                questions[key] = PendingInput(input_request, future, timeout, close=close)
            self._show_questions()
        return questions

    def _end_if_cancelled(self) -> None:
        """End a function that is to end where it speaks; a coroutine ends by itself."""
        if self._cancelling and not self._run.call.is_async:
            raise TaskCancelled

    def _close(self, key: str) -> None:
        with self._lock:
            if self._open.pop(key, None) is not None:
                self._show_questions()

    def _fresh(self, key: str) -> str:
        """A key that the task has not had (a question that is repeated is another one)."""
        used = self._asked[key] = self._asked.get(key, 0) + 1
        return key if used == 1 and key not in self._given else f"{key}.{used}"

    def _show_questions(self) -> None:
        input_requests = {key: input_request for key, (input_request, _) in self._open.items()}
        status = "input_required" if input_requests else "working"
        self._change(status=status, requests=as_requests(input_requests))

    def _change(self, **changes: Any) -> None:
        with self._lock:
            if self.state.status in TERMINAL:
                return
            state = self.state = replace(self.state, updated=time.time(), **changes)
            # Within the lock: another one, which comes later, must not be shown before.
            self._keeper.show(state)
        self._keeper.changed(state)

    def _run_on_thread(self, spawn: Spawn) -> None:
        call = self._run.call
        if call.wants_context:
            call.bind(_TaskThreadChannel(self, self._keeper.runner, spawn))
        try:
            with self._surroundings():
                drive(call, self._keeper.runner, spawn)
        except TaskCancelled:
            self._noticed = True
        except BaseException as error:
            # What the host does around the call has failed.
            call.fail(contained(error))
        self._measure_and_end(cancelled=self._noticed or (self._cancelling and call.failed))

    async def _run_and_measure(self) -> None:
        await self._run_on_loop()
        asked = self._measure()
        if isinstance(asked, Do):
            assert asked.awaited is not None
            self._has_room = await asked.awaited()
        else:
            self._has_room = asked

    async def _run_on_loop(self) -> None:
        call = self._run.call
        if call.wants_context:
            call.bind(_TaskLoopChannel(self, self._keeper.runner))
        await drive_async(call, self._keeper.runner)

    def _run_from_thread(self, spawn: Spawn) -> None:
        """Run a coroutine whose plain work has a thread of its own, which waits for it."""
        is_cancelled = False
        try:
            with self._surroundings():
                wait_for(self._run_on_loop, spawn, begun=self._note_stop)
        except CancelledError:
            is_cancelled = True
        except BaseException as error:
            # What the host does around the call has failed.
            self._run.call.fail(contained(error))
        failed = self._cancelling and self._run.call.failed
        self._measure_and_end(cancelled=is_cancelled or failed)

    def _measure(self) -> Asked[bool]:
        """Encode the outcome: whether it can be kept."""
        self._outcome = self._run.outcome(self._run.call)
        return self._keeper.has_room_for(len(self._outcome[1]), self.state, self._until)

    def _measure_and_end(self, *, cancelled: bool) -> None:
        if not cancelled:
            self._has_room = at_once(self._measure())
        self._end(cancelled=cancelled)

    def _note_stop(self, cancel: Callable[[], None]) -> None:
        with self._lock:
            self._has_begun, self._stop = True, cancel
        if self._cancelling:
            cancel()

    def _surroundings(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._around is None else self._around()

    def _end_of_coroutine(self, outcome: Future[None] | asyncio.Task[None]) -> None:
        # Not in the coroutine: one that is cancelled early never begins.
        self._end(cancelled=outcome.cancelled() or (self._cancelling and self._run.call.failed))

    def _end(self, *, cancelled: bool) -> None:
        if cancelled:
            self._change(status="cancelled", requests={})
            return
        # A coroutine that has ended otherwise than by its handler has an error, which is small.
        status, outcome = self._outcome or self._run.outcome(self._run.call)
        message = None
        if self._run.call.error is not None:
            message = self._run.call.error.message
        if not self._has_room:
            message = f"The outcome has {len(outcome)} bytes: more than is kept for your tasks"
            error = ProtocolError(INTERNAL_ERROR, message)
            status, outcome = "failed", b'"error":%b' % encode_error_object(error)
        self._change(status=status, message=message, requests={}, outcome=outcome)


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task, from any thread."""
    loop = task.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(cancel, task)


class _TaskLoopChannel(LoopChannel):
    """The channel of a coroutine: nothing but questions, which the task itself shows."""

    def __init__(self, task: RunningTask, runner: Runner) -> None:
        super().__init__(runner)
        self._task = task

    def other(self) -> SyncChannel:
        loop = asyncio.get_running_loop()
        return _TaskThreadChannel(self._task, self._runner, spawner(loop))

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        await answered(questions)


class _TaskThreadChannel(ThreadChannel):
    """The channel of a plain function, where it ends if the task is cancelled."""

    def __init__(self, task: RunningTask, runner: Runner, spawn: Spawn = background.spawn) -> None:
        super().__init__(runner, spawn)
        self._task = task

    def other(self) -> AsyncChannel:
        return _TaskLoopChannel(self._task, self._runner)

    @property
    def closed(self) -> bool:
        return self._task.cancelled

    def send(self, message: bytes) -> None:
        if self._task.cancelled:
            raise TaskCancelled

    def ask(self, questions: Sequence[PendingInput]) -> None:
        wait(
            [question.answer for question in questions],
            timeout=max(question.timeout for question in questions),
        )
        if self._task.cancelled:
            raise TaskCancelled
