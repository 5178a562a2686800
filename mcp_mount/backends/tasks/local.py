"""The tasks of this process: which of them run and have ended, how much is kept of them, and what
other processes have said."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Final
from weakref import WeakSet

from mcp_mount.backends.tasks.contexts import Around, current_context
from mcp_mount.backends.tasks.running import RunningTask
from mcp_mount.backends.tasks.workers import Workers
from mcp_mount.calls.backplane import Asked, BackplaneUnavailable
from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, step
from mcp_mount.calls.tasks import TERMINAL, Task, TaskLimits
from mcp_mount.protocol.task_board import TaskBoard
from mcp_mount.protocol.task_methods import Job, TaskRun, no_room_for_tasks, too_many_tasks
from mcp_mount.transports.shutdown import before_shutdown
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_ENDS: Final = "The worker that ran this task has ended"
_MAX_THREADS: Final = 40
_SWEEP_SECONDS: Final = 10.0


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
        board.on_failed = notify
        board.running = lambda: list(self._running)
        self.detach = detach
        self._around = around
        self._clear()
        _all_tasks.add(self)
        # The threads of the tasks stay behind in the parent, which goes on with them: what ends a
        # process that was forked from it must not cancel them where others see it.
        after_fork(self._clear)

    def _clear(self) -> None:
        self._running: dict[str, RunningTask] = {}
        self._ended: dict[str, Task] = {}
        self._delivered: dict[str, Task] = {}
        self._used: dict[str, _Used] = {}
        self._bytes = 0
        self._swept = float("-inf")
        self.workers = Workers(_MAX_THREADS)
        self._lock = threading.RLock()

    def start(self, job: Job, run: TaskRun) -> Asked[Task]:
        before_shutdown(self.close)
        _close_at_exit()
        until = time.monotonic() + job.ttl
        running = RunningTask(self, job, run, self._around(run.call), until, node=self._board.node)
        with self._lock:
            self._make_room(job.quota)
            self._used.setdefault(job.quota, _Used()).tasks[running.id] = until
            self._running[running.id] = running
        if self._board.is_shared:
            return step(partial(self._start_shown, running))
        self._begin(running)
        return running.state

    def work(self, job: Job, run: TaskRun, task: Task, until: float) -> None:
        """Run a task that another process has begun, on this thread and to its end.

        Args:
            job: What is to be done.
            run: The same, for this process.
            task: The task, which this process has claimed.
            until: When it is forgotten, by the monotonic clock.
        """
        task = replace(task, node=self._board.node)
        around = self._around(run.call)
        running = RunningTask(self, job, run, around, until, node=task.node, task=task)
        end = threading.Timer(max(0.0, until - time.monotonic()), running.cancel)
        end.daemon = True
        with self._lock:
            self._used.setdefault(job.quota, _Used()).tasks[running.id] = until
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
        return None if state is None or self._is_expired(state) else state

    def _up_to_date(self, task_id: str) -> Flow[Task | None]:
        with suppress(BackplaneUnavailable):
            yield from self._board.orders(task_id)
        return self._state(task_id)

    def _state(self, task_id: str) -> Task | None:
        """The state of a task of this process."""
        running = self._running.get(task_id)
        return self._ended.get(task_id) if running is None else running.state

    def delivered(self, task: Task) -> Asked[None]:
        if task.node == self._board.node:
            self._note_delivered(task.id)
        return self._board.tell_delivered(task) if self._board.is_shared else None

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
        """Let all tasks fail: the process that runs them ends."""
        for one in list(self._running.values()):
            one.fail(_ENDS)

    def _start_shown(self, running: RunningTask) -> Flow[Task]:
        """Start a task once the other processes can see it: one that cannot be seen is none."""
        try:
            yield self._board.add(running.state, self.limits)
        except BaseException:
            with self._lock:
                self._forget(running.state)
            raise
        self._begin(running)
        return running.state

    @staticmethod
    def _begin(running: RunningTask) -> None:
        try:
            running.start()
        except RuntimeError:
            # The system has no thread for it.
            logger.exception("A task could not begin")
            running.fail("The server cannot run more tasks now: try again")

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

    def show(self, task: Task) -> None:
        """Show other processes the new state of a task, after those that it had before."""
        if self._board.is_shared:
            self._board.show(task)

    def changed(self, task: Task) -> None:
        """Note the new state of a task, which was shown."""
        if task.status in TERMINAL:
            with self._lock:
                if task.id in self._running:
                    # The call goes, with its request; the state stays. Whoever looks without the
                    # lock looks at what runs first.
                    self._ended[task.id] = task
                    del self._running[task.id]
                    self._used[task.quota].bytes += len(task.outcome)
                    self._bytes += len(task.outcome)
        self._notify(task.id)

    def has_room_for(self, size: int, task: Task, until: float) -> Asked[bool]:
        """Whether the outcome of a task, of `size` bytes, can be kept `until` then, if need be in
        place of others that the clients have got."""
        has_room = self._has_room_here(size, task.quota)
        if self._board.is_shared:
            # Those of this process alone count while the others cannot be asked.
            left = until - time.monotonic()
            return self._board.keep(task, size, left, self.limits, otherwise=has_room)
        return has_room

    def _has_room_here(self, size: int, quota: str) -> bool:
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
            ProtocolError: If there is none (503), or none for this caller (429). Where there are
                other processes, the board says so, which counts the tasks of all.
        """
        is_due = time.monotonic() > self._swept + _SWEEP_SECONDS
        if is_due or self._is_full or self._has_used_up(quota):
            self._forget_expired()
        while self._has_used_up(quota) and self._forget_delivered(quota):
            pass
        if self._has_used_up(quota) and not self._board.is_shared:
            first = next(iter(self._used[quota].tasks.values()))
            raise too_many_tasks(first - time.monotonic())
        while self._is_full and self._forget_delivered():
            pass
        if self._is_full and not self._board.is_shared:
            raise no_room_for_tasks()

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
        self._swept = time.monotonic()
        for running in list(self._running.values()):
            if self._is_expired(running.state):
                running.cancel()
                self._forget(running.state)
        for task in list(self._ended.values()):
            if self._is_expired(task):
                self._forget(task)

    def _is_expired(self, task: Task) -> bool:
        return time.monotonic() > self._used.get(task.quota, _Used()).tasks.get(task.id, 0.0)

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


_all_tasks: Final[WeakSet[LocalTasks]] = WeakSet()


@cache
def _close_at_exit() -> None:
    """Close all where a process ends by itself, as one that has served enough requests.

    Not when this module is imported: what is registered later is called earlier, and others are
    told of it then.
    """
    atexit.register(_close_all)


def _close_all() -> None:
    for tasks in list(_all_tasks):
        tasks.close()


@dataclass(slots=True)
class _Used:
    """What one caller uses: their tasks by id, in order, with when they are forgotten by the
    monotonic clock, and the bytes of the outcomes."""

    tasks: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
