"""The methods of the tasks extension, and what it needs of those who run tasks."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_mount.calls.backplane import Asked
from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import Catalogue, FlowMethod
from mcp_mount.calls.flows import Flow, done, proceed, then
from mcp_mount.calls.incoming import ClientInfo, IncomingRequest
from mcp_mount.calls.policies import admission, admits
from mcp_mount.calls.questions import MultiRoundTripDialogue
from mcp_mount.calls.results import Result
from mcp_mount.calls.tasks import TERMINAL, Task, TaskPolicy, TaskRequired
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.settings import Settings
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INTERNAL_ERROR, INVALID_PARAMS, ProtocolError
from mcp_mount.wire.extensions import TASKS
from mcp_mount.wire.messages import Request, encode_error_object
from mcp_mount.wire.revisions import REVISIONS


@dataclass(frozen=True, slots=True)
class Job:
    """A call to run as a task, as plain data: `json` can write it, and any process can run it.

    Attributes:
        method: The method of the protocol: "tools/call".
        params: Its parameters.
        meta: The `_meta` of the request.
        revision: The revision in use.
        client_info: The name and version that the client claims.
        client_capabilities: The capabilities that the client declares.
        log_level: The lowest level of log messages that the client wants.
        answers: What the client has answered before, by the keys of the questions.
        tool: The name of the tool.
        caller: The key of the caller, who owns the task.
        quota: The key of the quota in which the task counts: a Host header, which belongs to the
            owner, can be made up to get another quota.
        ttl: How long the task is kept, in seconds from its creation.
        poll_interval: How often clients should look, in seconds.
        begin_within: The seconds within which a worker must begin it.
    """

    method: str
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    revision: str
    client_info: Mapping[str, Any]
    client_capabilities: Mapping[str, Any]
    log_level: str | None
    answers: Mapping[str, Any]
    tool: str
    caller: str
    quota: str
    ttl: float
    poll_interval: float
    begin_within: float


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What a job runs in a process.

    Attributes:
        call: The call. In the process that took the request it has the request itself; elsewhere
            `TaskMethods.run_of` makes it of the job.
        outcome: Returns the final status of the call ("completed" or "failed") and its outcome as
            `Task` has it, once it has run.
    """

    call: Call
    outcome: Callable[[Call], tuple[str, bytes]]


def new_task(job: Job, node: str = "") -> Task:
    """The task of a job, with an id that nobody can guess.

    Args:
        job: The job.
        node: The process that runs it, where there are several.
    """
    return Task(
        secrets.token_urlsafe(24),
        job.ttl,
        job.poll_interval,
        job.caller,
        job.quota,
        job.tool,
        node=node,
    )


class TaskBackend(Protocol):
    """Where tasks run, and where their state is kept.

    To add one, write a module in `mcp_mount/backends/tasks/` with a class that has these members.
    An operation that takes time returns a step (`calls.flows.Do`), as that of a backplane does
    (`calls.backplane`). A worker in another process gets the job as JSON, makes a `TaskRun` of it
    with `Protocol.run_of`, and tells the state of the task to whoever asks here.
    """

    def start(self, job: Job, run: TaskRun) -> Asked[Task]:
        """Begin a task, which `get` knows from now on.

        Args:
            job: What is to be done, as plain data.
            run: The same for this process: a backend that runs tasks elsewhere leaves it.

        Raises:
            ProtocolError: If no more tasks can be taken (503), or none of this caller (429).
        """

    def get(self, task_id: str) -> Asked[Task | None]:
        """The state of a task; None if there is none, or no more.

        Args:
            task_id: Its id.
        """

    def delivered(self, task: Task) -> Asked[None]:
        """Note that the client has got the outcome: where room is needed, it goes first.

        Args:
            task: The task, as `get` gave it.
        """

    def answer(self, task: Task, responses: Mapping[str, Any]) -> Asked[None]:
        """Hand in answers; those to no question are dropped.

        Args:
            task: The task, as `get` gave it.
            responses: By the keys of their questions.
        """

    def cancel(self, task: Task) -> Asked[None]:
        """Ask a task to end; one that has ended stays as it is.

        Args:
            task: The task, as `get` gave it.
        """


def too_many_tasks(left: float) -> ProtocolError:
    """The refusal of a caller who has as many tasks as may be.

    Args:
        left: In how many seconds the first of theirs is forgotten.
    """
    return ProtocolError(
        INTERNAL_ERROR,
        "You have too many tasks: get the results of those that have ended, or wait",
        data={"retryAfter": max(1, math.ceil(left))},
        status=429,
    )


def no_room_for_tasks() -> ProtocolError:
    """The refusal of a server that has as many tasks as may be."""
    return ProtocolError(INTERNAL_ERROR, "No more tasks can be taken at this server", status=503)


class TaskMethods:
    """`tasks/get`, `tasks/update`, `tasks/cancel`, and the beginning of a task.

    Args:
        backend: Runs the tasks, and keeps their state.
        catalogue: Has the tools that tasks are calls of.
        settings: Those of the server: its hooks, and what tells whose a task is.
        wrap: Encodes a finished result, as if there were no task.
        peers: The other processes.
    """

    def __init__(
        self,
        backend: TaskBackend,
        catalogue: Catalogue,
        settings: Settings,
        wrap: Callable[[IncomingRequest, Result], bytes],
        peers: Peers,
    ) -> None:
        self._backend = backend
        self._peers = peers
        self._catalogue = catalogue
        self._callers = settings.callers
        self._settings = settings
        self._wrap = wrap
        self.table = {
            "tasks/get": FlowMethod(self._get, "taskId"),
            "tasks/update": FlowMethod(self._update, "taskId"),
            "tasks/cancel": FlowMethod(self._cancel, "taskId"),
        }

    def accept(self, call: Call) -> Flow[Result | Call]:
        """Let a call run as a task, if its policies admit it.

        Returns:
            The `CreateTaskResult`, or a call that has it as its result. A call that is refused is
            no task: its observers see it refused, as any other.
        """
        line = list(call.policies)
        first = next((index for index, one in enumerate(line) if admits(one)), None)
        if first is None:
            return (yield from self.begin(call))
        acceptance = _Acceptance(self, call)
        return call.standing_in((acceptance, *line[:first], _Refused(acceptance)))

    def begin(self, call: Call) -> Flow[Result]:
        """Let a call run as a task, without asking what has admitted it: the `CreateTaskResult`.

        Args:
            call: The call.

        Raises:
            ProtocolError: If no more tasks are taken.
        """
        if self._peers.shared:
            # Others are told the answers to its questions.
            yield from self._peers.join()
        task = yield from done(self._start(call))
        return _created(task)

    def begin_anew(self, incoming: IncomingRequest) -> Flow[Result]:
        """Let a call run as a task whose handler has asked for that: from its start.

        Args:
            incoming: The request of the call.
        """
        call = self._catalogue.methods[incoming.method].answer(incoming)
        assert isinstance(call, Call), "the handler ran already"
        return (yield from self.begin(call))

    def _start(self, call: Call) -> Asked[Task]:
        _leave_out_admission(call)
        return self._backend.start(self._job_of(call), TaskRun(call, self._outcome))

    def run_of(self, job: Job, request: Request) -> TaskRun:
        """What a job runs in a process that did not take its request.

        Args:
            job: The job.
            request: Stands for the request: its caller is the job's.

        Raises:
            ProtocolError: If this server has no such tool, if the caller may not use it, or if this
                version does not know the revision.
        """
        revision, method = REVISIONS.get(job.revision), self._catalogue.methods.get(job.method)
        if revision is None:
            # A newer version of the server may have written the job.
            raise ProtocolError(INVALID_PARAMS, f"The revision is not known: {job.revision}")
        if method is None:
            raise ProtocolError(INVALID_PARAMS, f"There is no tool of this name: {job.tool}")
        incoming = IncomingRequest(
            0,
            job.method,
            dict(job.params),
            dict(job.meta),
            revision,
            ClientInfo(job.client_info, job.client_capabilities),
            request,
            None,
            job.log_level,
            MultiRoundTripDialogue(job.client_capabilities, job.answers),
            handlers=self._catalogue,
            hooks=self._settings.hooks,
        )
        call = method.answer(incoming)
        if not isinstance(call, Call):
            raise ProtocolError(INVALID_PARAMS, f"The arguments of {job.tool} are not valid")
        _leave_out_admission(call)
        return TaskRun(call, self._outcome)

    def _job_of(self, call: Call) -> Job:
        incoming, policy = call.incoming, call.task or TaskPolicy()
        dialogue = incoming.dialogue
        return Job(
            method=incoming.method,
            params=incoming.params,
            meta=incoming.meta,
            revision=incoming.revision.name,
            client_info=incoming.client.info,
            client_capabilities=incoming.client.capabilities,
            log_level=incoming.log_level,
            answers=dialogue.answers if isinstance(dialogue, MultiRoundTripDialogue) else {},
            tool=call.name,
            caller=self._callers.owner_of(incoming.request),
            quota=self._callers.key_of(incoming.request) or "anonymous",
            ttl=policy.ttl,
            poll_interval=policy.poll_interval,
            begin_within=policy.ttl / 2 if policy.begin_within is None else policy.begin_within,
        )

    def finder(self, incoming: IncomingRequest) -> Callable[[str], Asked[Task | None]]:
        """What finds the tasks of the caller by their ids, and no others.

        The rules of a task's tool, and of what that has called, are asked once more, of the
        caller's present token: at the first look alone, for later ones are made where a rule must
        not take time, and again only when there are more.
        """
        permitted: dict[tuple[str, int], bool] = {}

        def find(task_id: str) -> Asked[Task | None]:
            return then(self._backend.get(task_id), permitted_task)

        def permitted_task(found: Task | None) -> Task | None:
            task = self._own(incoming, found)
            if task is None:
                return None
            key = task.id, len(task.rules)
            if key not in permitted:
                rules = self._catalogue.rules_of_tool(task.tool)
                permitted[key] = rules is not None and incoming.permits((*rules, *task.rules))
            return task if permitted[key] else None

        return find

    def _own(self, incoming: IncomingRequest, task: Task | None) -> Task | None:
        """A task, if it is the caller's."""
        if task is None or task.caller != self._callers.owner_of(incoming.request):
            return None
        return task

    def _outcome(self, call: Call) -> tuple[str, bytes]:
        try:
            return "completed", b'"result":%b' % self._wrap(call.incoming, call.finish())
        except ProtocolError as error:
            return "failed", b'"error":%b' % encode_error_object(error)

    def _get(self, incoming: IncomingRequest) -> Flow[Result | Call]:
        task = yield from self._find(incoming)
        if task.status in TERMINAL:
            yield from done(self._backend.delivered(task))
        return Result(task.detail())

    def _update(self, incoming: IncomingRequest) -> Flow[Result | Call]:
        task = yield from self._find(incoming)
        responses = incoming.params.get("inputResponses")
        if not isinstance(responses, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "inputResponses"')
        yield from done(self._backend.answer(task, responses))
        return Result(b"")

    def _cancel(self, incoming: IncomingRequest) -> Flow[Result | Call]:
        task = yield from self._find(incoming)
        yield from done(self._backend.cancel(task))
        return Result(b"")

    def _find(self, incoming: IncomingRequest) -> Flow[Task]:
        """The caller's own task of the id in the request.

        Raises:
            ProtocolError: If there is none, or if the caller may not use its tool (any more): with
                the scopes, if a token for more is all that is missing.
        """
        incoming.client.require(TASKS)
        unknown = ProtocolError(INVALID_PARAMS, "There is no such task, or it has expired")
        found = yield from done(self._backend.get(incoming.params["taskId"]))
        task = self._own(incoming, found)
        rules = None if task is None else self._catalogue.rules_of_tool(task.tool)
        if task is None or rules is None:
            raise unknown
        incoming.require((*rules, *task.rules), unknown)
        return task


def _leave_out_admission(call: Call) -> None:
    """Take the policies from a call that have admitted it already.

    Raises:
        InvalidArguments: If its arguments are not valid, and no policy is left within which they
            are validated when it runs.
    """
    if call.policies and all(map(admits, call.policies)):
        call.prepare()
    call.policies = tuple(one for one in call.policies if not admits(one))


def _created(task: Task) -> Result:
    """The `CreateTaskResult` of a task."""
    return Result(encode(task.members())[1:-1], type="task")


class Continuation:
    """Lets a call go on as a task if its handler says so, by `ctx.start_task()`.

    It is the outermost policy: for all others, the call has ended.

    Args:
        tasks: Begins the task.
    """

    def __init__(self, tasks: TaskMethods) -> None:
        self._tasks = tasks

    def flow(self, call: Call) -> Flow[Result]:
        result = yield from proceed()
        if isinstance(result.suspended, TaskRequired):
            return (yield from self._tasks.begin_anew(call.incoming))
        return result


class _Acceptance:
    """Accepts a call as a task when all that admits calls has been asked.

    It is the outermost policy, outside those that observe calls and outside `_Refused`: both are
    for a call that is refused.
    """

    def __init__(self, tasks: TaskMethods, call: Call) -> None:
        self.refusal: Exception | None = None
        self._tasks = tasks
        self._call = call

    def flow(self, call: Call) -> Flow[Result]:
        try:
            yield from admission([one for one in self._call.policies if admits(one)], call)
            return (yield from self._tasks.begin(self._call))
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
