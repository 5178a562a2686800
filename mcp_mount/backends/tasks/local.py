"""Tasks in this process: coroutines on an event loop, functions on threads, state in memory, and on
the board where other processes see it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import Context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from mcp_mount.backends.tasks.contexts import Around, current_context
from mcp_mount.backends.tasks.workers import Workers
from mcp_mount.calls.backplane import Asked, BackplaneUnavailable
from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.flows import Flow, done, step
from mcp_mount.calls.questions import (
    InputRequest,
    PendingInput,
    as_requests,
    read_answers,
    require_capabilities,
)
from mcp_mount.calls.tasks import TERMINAL, Task, TaskLimits
from mcp_mount.protocol.task_board import TaskBoard
from mcp_mount.protocol.task_methods import Job, TaskRun, new_task
from mcp_mount.transports import background
from mcp_mount.transports.channels import LoopChannel, ThreadChannel, answered
from mcp_mount.transports.driving import Spawn, drive, drive_async, spawner, wait_for
from mcp_mount.transports.shutdown import before_shutdown
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.errors import INTERNAL_ERROR, EndsRun, ProtocolError, contained
from mcp_mount.wire.messages import ResponseMessage, encode_error_object

_MAX_THREADS: Final = 40
_SWEEP_SECONDS: Final = 10.0


class TaskCancelled(EndsRun):
    """Ends a plain function whose task was cancelled, where it next speaks."""


class LocalTasks:
    """Runs each task in the process that took its request. Safe to use from any thread."""

    def __init__(
        self,
        runner: Runner,
        notify: Callable[[str], None],
        board: TaskBoard,
        detach: Callable[[Call], Context] = current_context,
        *,
        around: Callable[[Call], Around | None] = lambda call: None,
        limits: TaskLimits | None = None,
    ) -> None:
        """Begin without tasks.

        Args:
            runner: How the host runs plain functions.
            notify: Called with the id of a task that changed.
            board: Where other processes see the tasks.
            detach: Prepares a call to outlive its request, and gives the context variables to run
                it in.
            around: What a task runs in, entered on a thread that it has for itself.
            limits: How much is kept.
        """
        self.limits = limits or TaskLimits()
        self.runner = runner
        self._notify = notify
        self._board = board
        board.on_orders = self._take_orders
        board.on_delivered = self._note_delivered
        board.running = lambda: list(self._running)
        self.detach = detach
        self._around = around
        self._running: dict[str, RunningTask] = {}
        self._ended: dict[str, Task] = {}
        self._delivered: dict[str, Task] = {}
        self._used: dict[str, _Used] = {}
        self._bytes = 0
        self._swept = 0.0
        self.workers = Workers(_MAX_THREADS)
        self._lock = threading.RLock()

    def start(self, job: Job, run: TaskRun) -> Asked[Task]:
        before_shutdown(self.close)
        running = RunningTask(self, job, run, self._around(run.call), node=self._board.node)
        with self._lock:
            self._make_room(job.quota)
            self._used.setdefault(job.quota, _Used()).tasks[running.id] = None
            self._running[running.id] = running
        if self._board.is_shared:
            return step(partial(self._start_shown, running))
        running.start()
        return running.state

    def work(self, job: Job, run: TaskRun, task: Task) -> None:
        """Run a task that another process has begun, on this thread and to its end.

        Args:
            job: What is to be done.
            run: The same, for this process.
            task: The task, which this process has claimed.
        """
        task = replace(task, node=self._board.node)
        running = RunningTask(self, job, run, self._around(run.call), node=task.node, task=task)
        end = threading.Timer(max(0.0, task.created + task.ttl - time.time()), running.cancel)
        end.daemon = True
        with self._lock:
            self._used.setdefault(job.quota, _Used()).tasks[running.id] = None
            self._running[running.id] = running
        try:
            # It may have been cancelled between the claim and now.
            with suppress(BackplaneUnavailable):
                step(partial(self._board.orders, task.id)).do()
            end.start()
            running.run_here()
        finally:
            end.cancel()
            with self._lock:
                self._forget(self._ended.get(running.id, running.state))

    def get(self, task_id: str) -> Asked[Task | None]:
        state = self._state(task_id)
        if state is None and self._board.is_shared:
            return self._board.find(task_id)
        if state is not None and state.status == "input_required" and self._board.is_shared:
            # Another process may have taken an answer a moment ago.
            return step(partial(self._up_to_date, task_id))
        return None if state is None or _is_expired(state) else state

    def _up_to_date(self, task_id: str) -> Flow[Task | None]:
        with suppress(BackplaneUnavailable):
            yield from self._board.orders(task_id)
        return self._state(task_id)

    def _state(self, task_id: str) -> Task | None:
        """The state of a task of this process."""
        running = self._running.get(task_id)
        return self._ended.get(task_id) if running is None else running.state

    def delivered(self, task: Task) -> Asked[None]:
        if task.node != self._board.node:
            return self._board.tell_delivered(task)
        self._note_delivered(task.id)
        return None

    def _note_delivered(self, task_id: str) -> None:
        with self._lock:
            task = self._ended.get(task_id)
            if task is not None:
                self._delivered.setdefault(task_id, task)

    def answer(self, task: Task, responses: Mapping[str, Any]) -> Asked[None]:
        running = self._running.get(task.id)
        if running is not None:
            running.answer(responses)
        elif self._board.is_shared:
            return self._board.answer(task, responses)
        return None

    def cancel(self, task: Task) -> Asked[None]:
        running = self._running.get(task.id)
        if running is not None:
            running.cancel()
        elif self._board.is_shared:
            return self._board.cancel(task)
        return None

    def close(self) -> None:
        """Cancel all tasks, as at a shutdown."""
        for running in list(self._running.values()):
            running.cancel()

    def _start_shown(self, running: RunningTask) -> Flow[Task]:
        """Start a task once the other processes can see it: one that cannot be seen is none."""
        try:
            yield from done(self._board.add(running.state))
        except BaseException:
            with self._lock:
                self._forget(running.state)
            raise
        running.start()
        return running.state

    def _take_orders(
        self, task_id: str, answers: Sequence[Mapping[str, Any]], cancelled: bool
    ) -> None:
        """Take what other processes were told for a task."""
        running = self._running.get(task_id)
        if running is None:
            return
        for one in answers:
            running.answer(one)
        if cancelled:
            running.cancel()

    def changed(self, task: Task) -> None:
        """Note the new state of a task."""
        if self._board.is_shared:
            self._board.show(task)
        if task.status in TERMINAL:
            with self._lock:
                # The call goes, with its request; the state stays.
                if self._running.pop(task.id, None) is not None:
                    self._ended[task.id] = task
                    self._used[task.quota].bytes += len(task.outcome)
                    self._bytes += len(task.outcome)
        self._notify(task.id)

    def has_room_for(self, size: int, quota: str) -> bool:
        """Whether an outcome of `size` bytes can be kept, if need be in place of others that the
        clients have got."""
        with self._lock:
            used, limits = self._used.get(quota, _Used()), self.limits
            if size > limits.result_bytes_per_caller:
                return False
            while used.bytes + size > limits.result_bytes_per_caller:
                if not self._forget_delivered(quota):
                    return False
            while self._bytes + size > limits.result_bytes:
                if not self._forget_delivered():
                    return False
            return True

    def _make_room(self, quota: str) -> None:
        """Let there be a place for one more task.

        Raises:
            ProtocolError: If there is none (503), or none for this caller (429).
        """
        if time.time() > self._swept + _SWEEP_SECONDS or self._is_full or self._has_used_up(quota):
            self._forget_expired()
        while self._has_used_up(quota) and self._forget_delivered(quota):
            pass
        if self._has_used_up(quota):
            first = self._state(next(iter(self._used[quota].tasks)))
            left = 1 if first is None else first.created + first.ttl - time.time()
            raise ProtocolError(
                INTERNAL_ERROR,
                "You have too many tasks: get the results of those that have ended, or wait",
                data={"retryAfter": max(1, math.ceil(left))},
                status=429,
            )
        while self._is_full and self._forget_delivered():
            pass
        if self._is_full:
            raise ProtocolError(
                INTERNAL_ERROR, "No more tasks can be taken at this server", status=503
            )

    @property
    def _is_full(self) -> bool:
        return len(self._running) + len(self._ended) >= self.limits.tasks

    def _has_used_up(self, quota: str) -> bool:
        used = self._used.get(quota)
        return used is not None and (
            len(used.tasks) >= self.limits.tasks_per_caller
            or used.bytes >= self.limits.result_bytes_per_caller
        )

    def _forget_delivered(self, *quota: str) -> bool:
        """Drop the task that was got first, of one caller or of all; False if there is none."""
        found = (one for one in self._delivered.values() if not quota or one.quota in quota)
        task = next(found, None)
        if task is not None:
            self._forget(task)
        return task is not None

    def _forget_expired(self) -> None:
        self._swept = time.time()
        for running in list(self._running.values()):
            if _is_expired(running.state):
                running.cancel()
                self._forget(running.state)
        for task in list(self._ended.values()):
            if _is_expired(task):
                self._forget(task)

    def _forget(self, task: Task) -> None:
        self._delivered.pop(task.id, None)
        used = self._used.get(task.quota, _Used())
        used.tasks.pop(task.id, None)
        self._running.pop(task.id, None)
        if self._ended.pop(task.id, None) is not None:
            used.bytes -= len(task.outcome)
            self._bytes -= len(task.outcome)
        if not used.tasks:
            self._used.pop(task.quota, None)


@dataclass(slots=True)
class _Used:
    """What one caller uses: their tasks by id, in order, and the bytes of the outcomes."""

    tasks: dict[str, None] = field(default_factory=dict)
    bytes: int = 0


def _is_expired(task: Task) -> bool:
    return time.time() > task.created + task.ttl


class RunningTask:
    """One task: its state, its questions, and the thread or event loop task that runs it.

    It is the dialogue of its call, and knows nothing of the request that began it.
    """

    def __init__(
        self,
        backend: LocalTasks,
        job: Job,
        run: TaskRun,
        around: Around | None,
        *,
        node: str,
        task: Task | None = None,
    ) -> None:
        self._around = around
        self._backend = backend
        self._run = run
        self._given = job.answers
        self._capabilities = job.client_capabilities
        self._open: dict[str, tuple[InputRequest[Any], Future[ResponseMessage]]] = {}
        self._asked: dict[str, int] = {}
        self._stop: Callable[[], object] = lambda: None
        self._lock = threading.RLock()
        self._cancelling = False
        self._noticed = self._has_begun = False
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
        context = self._backend.detach(call)
        loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
        # What it needs of a loop, such as dependencies, belongs to that of the request.
        spawn = background.spawn if loop is None else spawner(loop)
        if not call.is_async or self._around is not None:
            run = self._run_from_thread if call.is_async else self._run_on_thread
            withdraw = self._backend.workers.submit(partial(context.run, run, spawn))
            with self._lock:
                if not self._has_begun:
                    self._stop = withdraw
            return
        if loop is None:
            outcome, self._stop = context.run(background.spawn, self._run_on_loop())
            outcome.add_done_callback(self._end_of_coroutine)
            return
        task = context.run(loop.create_task, self._run_on_loop())
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
            self._cancelling = True
            waiting = [future for _, future in self._open.values()]
        for future in waiting:
            if not future.cancelled() and future.cancel():
                # `concurrent.futures.wait` does not wake up for a future that is cancelled only.
                future.set_running_or_notify_cancel()
        if self._stop() is True or (not self._run.call.is_async and waiting):
            # A function that had not begun, or is bound to end.
            self._change(status="cancelled")

    def known(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        require_capabilities(self._capabilities, input_requests)
        return read_answers(input_requests, self._given)[0]

    def put(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, PendingInput]:
        timeout = max(0.0, self.state.created + self.state.ttl - time.time())
        questions: dict[str, PendingInput] = {}
        with self._lock:
            self._end_if_cancelled()
            for key, input_request in input_requests.items():
                future: Future[ResponseMessage] = Future()
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
        self._backend.changed(state)

    def _run_on_thread(self, spawn: Spawn) -> None:
        call = self._run.call
        if call.wants_context:
            call.bind(_TaskThreadChannel(self, self._backend.runner, spawn))
        try:
            with self._surroundings():
                drive(call, self._backend.runner, spawn)
        except TaskCancelled:
            self._noticed = True
        except BaseException as error:
            # What the host does around the call has failed.
            call.fail(contained(error))
        self._end(cancelled=self._noticed or (self._cancelling and call.failed))

    async def _run_on_loop(self) -> None:
        call = self._run.call
        if call.wants_context:
            call.bind(_TaskLoopChannel(self, self._backend.runner))
        await drive_async(call, self._backend.runner)

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
        self._end(cancelled=is_cancelled or (self._cancelling and self._run.call.failed))

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
        status, outcome = self._run.outcome(self._run.call)
        message = None
        if self._run.call.error is not None:
            message = self._run.call.error.message
        if not self._backend.has_room_for(len(outcome), self.state.quota):
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
