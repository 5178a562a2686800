"""The methods of the tasks extension, and what it needs of those who run tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_mount.protocol.callers import Callers
from mcp_mount.protocol.calls import Call, Method, Result
from mcp_mount.protocol.encoding import encode
from mcp_mount.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.protocol.extensions import TASKS
from mcp_mount.protocol.incoming import Incoming
from mcp_mount.protocol.messages import error_object
from mcp_mount.protocol.questions import RoundTrips
from mcp_mount.protocol.tasks import Task, TaskPolicy


@dataclass(frozen=True, slots=True)
class Job:
    """A call to run as a task.

    caller: whose task it is. answers: what the client has answered before. outcome: the final
    status of the call and its outcome as `Task` has it, once it has run.
    """

    call: Call
    policy: TaskPolicy
    caller: str
    answers: Mapping[str, Any]
    outcome: Callable[[Call], tuple[str, bytes]]


class TaskBackend(Protocol):
    """Where tasks run, and where their state is kept."""

    def start(self, job: Job) -> Task:
        """Begin a task, which `get` knows from now on.

        Raises ProtocolError (503) where no more tasks can be taken.
        """

    def get(self, task_id: str) -> Task | None:
        """The state of a task; None if there is none, or no more."""

    def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Hand in answers by the keys of their questions; those that nobody asked are dropped."""

    def cancel(self, task_id: str) -> None:
        """Ask a task to end; one that has ended stays as it is."""


class TaskMethods:
    """`tasks/get`, `tasks/update`, `tasks/cancel`, and the beginning of a task.

    callers: tells whose a task is. wrap: encodes a finished result, as if there were no task.
    """

    def __init__(
        self,
        backend: TaskBackend,
        callers: Callers,
        wrap: Callable[[Incoming, Result], bytes],
    ) -> None:
        self._backend = backend
        self._callers = callers
        self._wrap = wrap
        self.table = {
            "tasks/get": Method(self._get, "taskId"),
            "tasks/update": Method(self._update, "taskId"),
            "tasks/cancel": Method(self._cancel, "taskId"),
        }

    def begin(self, call: Call) -> Result:
        """Let a call run as a task: the `CreateTaskResult`."""
        dialogue = call.incoming.dialogue
        answers = dialogue.answers if isinstance(dialogue, RoundTrips) else {}
        caller = self._callers.owner_of(call.incoming.request)
        job = Job(call, call.task or TaskPolicy(), caller, answers, self._outcome)
        task = self._backend.start(job)
        return Result(encode(task.members())[1:-1], type="task")

    def finder(self, incoming: Incoming) -> Callable[[str], Task | None]:
        """What finds the tasks of the caller by their ids, and no others."""
        caller = self._callers.owner_of(incoming.request)

        def find(task_id: str) -> Task | None:
            task = self._backend.get(task_id)
            return None if task is None or task.caller != caller else task

        return find

    def _outcome(self, call: Call) -> tuple[str, bytes]:
        try:
            return "completed", b'"result":%b' % self._wrap(call.incoming, call.finish())
        except ProtocolError as error:
            return "failed", b'"error":%b' % encode(error_object(error))

    def _get(self, incoming: Incoming) -> Result:
        return Result(self._find(incoming).detail())

    def _update(self, incoming: Incoming) -> Result:
        task = self._find(incoming)
        responses = incoming.params.get("inputResponses")
        if not isinstance(responses, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "inputResponses"')
        self._backend.answer(task.id, responses)
        return Result(b"")

    def _cancel(self, incoming: Incoming) -> Result:
        self._backend.cancel(self._find(incoming).id)
        return Result(b"")

    def _find(self, incoming: Incoming) -> Task:
        incoming.client.require(TASKS)
        task = self.finder(incoming)(incoming.params["taskId"])
        if task is None:
            raise ProtocolError(INVALID_PARAMS, "There is no such task, or it has expired")
        return task
