"""Tasks that workers run which take no requests: a queue brings them the jobs, and their state is
on the board, where all processes see it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from mcp_mount.calls.backplane import Asked, BackplaneUnavailable
from mcp_mount.calls.flows import Do, Flow, done, step
from mcp_mount.calls.tasks import Task
from mcp_mount.protocol.task_board import TaskBoard
from mcp_mount.protocol.task_methods import Job, TaskRun, new_task


class TaskQueue(Protocol):
    """Brings jobs to workers: a worker makes a `TaskRun` of a job with `Protocol.run_of`, and gives
    it to `LocalTasks.run`, which runs each task once, also if its job comes twice."""

    def submit(self, task_id: str, job: Job) -> Asked[None]:
        """Have a worker run a job.

        Args:
            task_id: The id of its task.
            job: The job, which is plain data.
        """

    def revoke(self, task_id: str) -> Asked[None]:
        """Drop a job that no worker has taken, if that can be done: it would not run anyway.

        Args:
            task_id: The id of its task.
        """


class QueuedTasks:
    """The backend of tasks that a queue brings to workers. It needs a backplane.

    Args:
        queue: The queue.
        board: Has the states of the tasks.
    """

    def __init__(self, queue: TaskQueue, board: TaskBoard) -> None:
        self._queue = queue
        self._board = board

    def start(self, job: Job, run: TaskRun) -> Do[Task]:
        task = new_task(job)
        task.rules = run.call.incoming.met_rules
        return step(partial(self._start, task, job))

    def get(self, task_id: str) -> Do[Task | None]:
        return self._board.find(task_id)

    def delivered(self, task: Task) -> Do[None]:
        return self._board.tell_delivered(task)

    def answer(self, task: Task, responses: Mapping[str, Any]) -> Do[None]:
        return self._board.answer(task, responses)

    def cancel(self, task: Task) -> Do[None]:
        return step(partial(self._cancel, task))

    def _start(self, task: Task, job: Job) -> Flow[Task]:
        yield from done(self._board.add(task))
        try:
            yield from done(self._queue.submit(task.id, job))
        except Exception as error:
            # Nobody was told of it. A worker that gets the job all the same does not run it.
            yield self._board.cancel(task)
            raise BackplaneUnavailable(f"The queue took no job: {error!r}") from error
        return task

    def _cancel(self, task: Task) -> Flow[None]:
        yield self._board.cancel(task)
        if not task.node:
            yield from done(self._queue.revoke(task.id))
