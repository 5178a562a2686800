"""Tasks in other processes: a queue brings them to workers, and the backplane has their state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from mcp_mount.backends.tasks.contexts import Around
from mcp_mount.backends.tasks.local import LocalTasks
from mcp_mount.backends.tasks.payloads import Origin, Payloads
from mcp_mount.calls.backplane import Asked, BackplaneUnavailable
from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Do, Flow, done, step
from mcp_mount.calls.tasks import TERMINAL, Task, TaskQueue
from mcp_mount.protocol.task_board import TaskBoard
from mcp_mount.protocol.task_methods import Job, TaskRun, new_task
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

NOT_REVOKED: Final = "A task could not be taken out of its queue"

_LATER_SECONDS: Final = 5


class QueuedTasks:
    """Gives each task to a queue, if there is one; otherwise it runs in this process.

    Args:
        local: Runs tasks in this process.
        board: Where the processes see the state of tasks.
        payloads: Seals what workers get.
        origin: Returns who makes a call, for a worker.
        around: What a task would run in: raises ProtocolError for a call that cannot be a task.

    Attributes:
        queue: Brings tasks to workers; None if they run here.
    """

    def __init__(
        self,
        local: LocalTasks,
        board: TaskBoard,
        payloads: Payloads,
        origin: Callable[[Call], Origin],
        *,
        around: Callable[[Call], Around | None],
    ) -> None:
        self.queue: TaskQueue | None = None
        self._local = local
        self._board = board
        self._payloads = payloads
        self._origin = origin
        self._around = around

    def missing(self) -> str | None:
        """What the server lacks for its queue; None if nothing, or where it has no queue."""
        if self.queue is None:
            return None
        if not self._board.is_shared:
            return "a backplane= where workers and web processes find the state of tasks"
        return None if self._payloads.has_keys else "a secret_key, which seals what workers get"

    def start(self, job: Job, run: TaskRun) -> Asked[Task]:
        queue = self.queue
        if queue is None:
            return self._local.start(job, run)
        missing = self.missing()
        if missing is not None:
            logger.error("A task was refused: tasks= needs %s", missing)
            raise ProtocolError(INTERNAL_ERROR, "This server runs no tasks")
        self._around(run.call)
        task = new_task(job)
        task.rules = run.call.incoming.met_rules
        payload = self._payloads.seal(task, job, self._origin(run.call))
        return step(partial(self._submit, queue, task, payload, job.begin_within))

    def get(self, task_id: str) -> Asked[Task | None]:
        return self._local.get(task_id)

    def delivered(self, task: Task) -> Asked[None]:
        return self._local.delivered(task)

    def answer(self, task: Task, responses: Mapping[str, Any]) -> Asked[None]:
        return self._local.answer(task, responses)

    def cancel(self, task: Task) -> Asked[None]:
        revoke = getattr(self.queue, "revoke", None)
        if revoke is None or task.node or task.status in TERMINAL:
            return self._local.cancel(task)
        return step(partial(self._revoke, revoke, task))

    def _submit(
        self, queue: TaskQueue, task: Task, payload: str, begin_within: float
    ) -> Flow[Task]:
        """Show a task, and give it to the queue: a worker runs none that is not shown."""
        attempts, limits = getattr(queue, "attempts", 1), self._local.limits
        try:
            yield self._board.enqueue(task, limits, attempts=attempts, begin_within=begin_within)
        except BackplaneUnavailable as error:
            raise _later(error) from error
        submit = partial(queue.submit, payload)
        try:
            yield Do(submit, partial(asyncio.to_thread, submit))
        except Exception as error:
            # It may come to a worker all the same, which does not run what is not shown.
            yield self._board.drop(task)
            raise _later(error) from error
        except BaseException:
            # Its client has left, and will never know of it.
            self._board.drop_later(task)
            raise
        return task

    def _revoke(self, revoke: Callable[[str], object], task: Task) -> Flow[None]:
        yield from done(self._local.cancel(task))
        call = partial(revoke, task.id)
        try:
            yield Do(call, partial(asyncio.to_thread, call))
        except Exception:
            # No worker runs it: this would only have made the queue shorter.
            logger.warning(NOT_REVOKED, exc_info=True)


def _later(error: Exception) -> ProtocolError:
    """What the client of a task is told that no worker gets."""
    logger.warning("A task could not be given to a worker", exc_info=error)
    return ProtocolError(
        INTERNAL_ERROR,
        "The server can take no tasks now: try again",
        data={"retryAfter": _LATER_SECONDS},
        status=503,
        retry_after=_LATER_SECONDS,
    )
