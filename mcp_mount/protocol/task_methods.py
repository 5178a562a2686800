"""The methods of the tasks extension, and what it needs of those who run tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import Callers
from mcp_mount.calls.catalogue import Catalogue, Method
from mcp_mount.calls.flows import Flow, proceed
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import admission, admits
from mcp_mount.calls.questions import MultiRoundTripDialogue
from mcp_mount.calls.results import Result
from mcp_mount.calls.tasks import TERMINAL, Task, TaskPolicy
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.extensions import TASKS
from mcp_mount.wire.messages import encode_error_object


@dataclass(frozen=True, slots=True)
class Job:
    """A call to run as a task.

    caller: whose task it is. quota: whose quota it counts in: a Host header, which belongs to the
    owner of a task, can be made up to get another one. answers: what the client has answered
    before. outcome: the final status of the call and its outcome as `Task` has it, once it has run.
    """

    call: Call
    policy: TaskPolicy
    caller: str
    quota: str
    answers: Mapping[str, Any]
    outcome: Callable[[Call], tuple[str, bytes]]


class TaskBackend(Protocol):
    """Where tasks run, and where their state is kept."""

    def start(self, job: Job) -> Task:
        """Begin a task, which `get` knows from now on.

        Raises:
            ProtocolError: Where no more tasks can be taken (503), or none of this caller (429).
        """

    def get(self, task_id: str) -> Task | None:
        """The state of a task; None if there is none, or no more."""

    def delivered(self, task_id: str) -> None:
        """Note that the client has got the outcome: where room is needed, it goes first."""

    def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Hand in answers by the keys of their questions; those that nobody asked are dropped."""

    def cancel(self, task_id: str) -> None:
        """Ask a task to end; one that has ended stays as it is."""


class TaskMethods:
    """`tasks/get`, `tasks/update`, `tasks/cancel`, and the beginning of a task.

    catalogue: has the tools that tasks are calls of. callers: tells whose a task is. wrap: encodes
    a finished result, as if there were no task.
    """

    def __init__(
        self,
        backend: TaskBackend,
        catalogue: Catalogue,
        callers: Callers,
        wrap: Callable[[IncomingRequest, Result], bytes],
    ) -> None:
        self._backend = backend
        self._catalogue = catalogue
        self._callers = callers
        self._wrap = wrap
        self.table = {
            "tasks/get": Method(self._get, "taskId"),
            "tasks/update": Method(self._update, "taskId"),
            "tasks/cancel": Method(self._cancel, "taskId"),
        }

    def accept(self, call: Call) -> Result | Call:
        """Let a call run as a task, if its policies admit it.

        Returns:
            The `CreateTaskResult`, or a call that has it as its result. A call that is refused is
            no task: its observers see it refused, as any other.
        """
        line = list(call.policies)
        first = next((index for index, one in enumerate(line) if admits(one)), None)
        if first is None:
            return self.begin(call)
        acceptance = _Acceptance(self, call)
        return call.standing_in((acceptance, *line[:first], _Refused(acceptance)))

    def begin(self, call: Call) -> Result:
        """Let a call run as a task, without asking what has admitted it: the `CreateTaskResult`.

        Raises:
            ProtocolError: Where no more tasks are taken.
        """
        call.policies = tuple(one for one in call.policies if not admits(one))
        dialogue = call.incoming.dialogue
        answers = dialogue.answers if isinstance(dialogue, MultiRoundTripDialogue) else {}
        caller = self._callers.owner_of(call.incoming.request)
        quota = self._callers.key_of(call.incoming.request) or "anonymous"
        job = Job(call, call.task or TaskPolicy(), caller, quota, answers, self._outcome)
        task = self._backend.start(job)
        return Result(encode(task.members())[1:-1], type="task")

    def finder(self, incoming: IncomingRequest) -> Callable[[str], Task | None]:
        """What finds the tasks of the caller by their ids, and no others.

        The rules of a task's tool, and of what that has called, are asked once more, of the
        caller's present token: at the first look alone, for later ones are made where a rule must
        not take time, and again only when there are more.
        """
        permitted: dict[tuple[str, int], bool] = {}

        def find(task_id: str) -> Task | None:
            task = self._owned(incoming, task_id)
            if task is None:
                return None
            key = task.id, len(task.rules)
            if key not in permitted:
                rules = self._catalogue.rules_of_tool(task.tool)
                permitted[key] = rules is not None and incoming.permits((*rules, *task.rules))
            return task if permitted[key] else None

        return find

    def _owned(self, incoming: IncomingRequest, task_id: str) -> Task | None:
        task = self._backend.get(task_id)
        if task is None or task.caller != self._callers.owner_of(incoming.request):
            return None
        return task

    def _outcome(self, call: Call) -> tuple[str, bytes]:
        try:
            return "completed", b'"result":%b' % self._wrap(call.incoming, call.finish())
        except ProtocolError as error:
            return "failed", b'"error":%b' % encode_error_object(error)

    def _get(self, incoming: IncomingRequest) -> Result:
        task = self._find(incoming)
        if task.status in TERMINAL:
            self._backend.delivered(task.id)
        return Result(task.detail())

    def _update(self, incoming: IncomingRequest) -> Result:
        task = self._find(incoming)
        responses = incoming.params.get("inputResponses")
        if not isinstance(responses, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "inputResponses"')
        self._backend.answer(task.id, responses)
        return Result(b"")

    def _cancel(self, incoming: IncomingRequest) -> Result:
        self._backend.cancel(self._find(incoming).id)
        return Result(b"")

    def _find(self, incoming: IncomingRequest) -> Task:
        """The caller's own task of the id in the request.

        Raises:
            ProtocolError: If there is none, or if the caller may not use its tool (any more): with
                the scopes, if a token for more is all that is missing.
        """
        incoming.client.require(TASKS)
        unknown = ProtocolError(INVALID_PARAMS, "There is no such task, or it has expired")
        task = self._owned(incoming, incoming.params["taskId"])
        rules = None if task is None else self._catalogue.rules_of_tool(task.tool)
        if task is None or rules is None:
            raise unknown
        incoming.require((*rules, *task.rules), unknown)
        return task


class _Acceptance:
    """Accepts a call as a task when all that admits calls has been asked.

    It stands around what observes calls, and around `_Refused`: both are for a call that is
    refused.
    """

    def __init__(self, tasks: TaskMethods, call: Call) -> None:
        self.refusal: Exception | None = None
        self._tasks = tasks
        self._call = call

    def flow(self, call: Call) -> Flow[Result]:
        try:
            yield from admission([one for one in self._call.policies if admits(one)], call)
            if all(map(admits, self._call.policies)):
                # Nothing stands around it any more that validates its arguments when it runs.
                self._call.prepare()
            return self._tasks.begin(self._call)
        except Exception as refusal:
            self.refusal = refusal
        return (yield from proceed())


class _Refused:
    """Raises what a call was refused with."""

    def __init__(self, acceptance: _Acceptance) -> None:
        self._acceptance = acceptance

    def flow(self, call: Call) -> Flow[Result]:
        assert self._acceptance.refusal is not None
        yield from ()
        raise self._acceptance.refusal
