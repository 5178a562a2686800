"""The state of tasks where all processes see it: the one that runs a task writes it, and any of
them tells clients of it, and takes their answers and cancellations.

A task is a record (`t:{task}`) and a list of the answers to its questions (`t:{task}:a`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from mcp_mount.calls.backplane import Asked, BackplaneUnavailable, Message, Record
from mcp_mount.calls.catalogue import Catalogue
from mcp_mount.calls.flows import Do, Flow, done, step
from mcp_mount.calls.tasks import TERMINAL, Task
from mcp_mount.protocol.peers import MISSING_SECONDS, Peers
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.messages import encode_error_object

_ENDED: Final = "ended"
"""The field of a task that has ended: its state changes no more."""

_CANCEL: Final = "cancel"
_SHOWN_IN_A_SECOND: Final = 20

_CLAIM: Final = "claim"
"""The beginning of the fields that say which workers have taken a task from its queue: "claim1",
"claim2". Each is written once, so that of several deliveries one runs."""

_ATTEMPTS: Final = "attempts"

_MAX_ANSWERS: Final = 1000
_LOST: Final = "The worker that ran this task was lost"

OnOrders = Callable[[str, Sequence[Mapping[str, Any]], bool], None]
"""Takes the id of a task, all answers to it so far, and whether it was cancelled."""


class Claim(Enum):
    """What a worker may do with a task that a queue has brought.

    Attributes:
        TAKEN: Run it: nobody else does.
        OVER: Nothing: it runs already, has run, was cancelled, or is not known any more.
        BUSY: Come back: another worker has it, and may be lost.
    """

    TAKEN = auto()
    OVER = auto()
    BUSY = auto()


class TaskBoard:
    """Shows the tasks of this process to the others, and theirs to this one. Safe to use from any
    thread.

    Args:
        peers: The other processes.
        catalogue: Has the rules of what tasks call.

    Attributes:
        on_orders: Takes what other processes were told for tasks of this one.
        on_delivered: Takes the id of a task of this one whose outcome its client has got.
        running: Returns the ids of the tasks that run here.
    """

    def __init__(self, peers: Peers, catalogue: Catalogue) -> None:
        self.on_orders: OnOrders = lambda task, answers, cancelled: None
        self.on_delivered: Callable[[str], None] = lambda task: None
        self.running: Callable[[], Sequence[str]] = tuple
        self._peers = peers
        self._catalogue = catalogue
        self._lock = threading.RLock()
        self._changed: dict[str, Task] = {}
        self._queued: set[str] = set()
        self._paces: dict[str, _Pace] = {}
        self._missing: dict[str, float] = {}
        peers.on("task", lambda message: self._look(message["task"]))
        peers.on("delivered", lambda message: self.on_delivered(message["task"]))
        peers.on("resync", self._look_at_all)
        peers.on("beat", self._write_again)

    @property
    def is_shared(self) -> bool:
        """Whether there may be other processes."""
        return self._peers.shared

    @property
    def node(self) -> str:
        """The name of this process; none, if there are no others."""
        return self._peers.node if self.is_shared else ""

    def add(self, task: Task) -> Asked[bool]:
        """Show a task that is about to begin here.

        Args:
            task: The task.
        """
        return self._peers.backplane.note(_key(task.id), self._fields(task), ttl=task.ttl, new=True)

    def enqueue(self, task: Task, attempts: int) -> Do[bool]:
        """Show a task that waits for a worker.

        Args:
            task: The task, which no process has as yet.
            attempts: How often it may begin, if its workers are lost.
        """
        fields = {**self._fields(task), _ATTEMPTS: str(attempts)}
        note = partial(self._peers.backplane.note, _key(task.id), ttl=task.ttl, new=True)
        return step(lambda: done(note(fields)))

    def give_up(self, task: Task, message: str) -> Do[None]:
        """Let a task fail that has not run.

        Args:
            task: The task.
            message: Why.
        """
        return step(partial(self._note, _failed(task, message)))

    def claim(self, task_id: str, mark: str) -> Do[Claim]:
        """Take a task from its queue, for this process.

        Args:
            task_id: Its id.
            mark: Tells this delivery from all others.
        """
        return step(partial(self._claim, task_id, mark))

    def settle(self, task_id: str) -> Do[None]:
        """Wait until the last state of a task of this process is shown.

        Args:
            task_id: Its id.
        """
        return step(partial(self._write, task_id))

    def show(self, task: Task) -> None:
        """Show the new state of a task of this process, soon.

        Args:
            task: The task. Of several states that come together the last one is shown.
        """
        with self._lock:
            self._changed[task.id] = task
            pace = self._paces.setdefault(task.id, _Pace())
            if task.status in TERMINAL:
                del self._paces[task.id]
            if task.id in self._queued or not pace.allows(task):
                return
        self._write_soon(task.id)

    def _write_soon(self, task_id: str) -> None:
        with self._lock:
            self._queued.add(task_id)
        self._peers.later(step(partial(self._write, task_id)))

    def find(self, task_id: str) -> Do[Task | None]:
        """A task of any process; None if there is none, or no more.

        Args:
            task_id: Its id.
        """
        return step(partial(self._find, task_id))

    def answer(self, task: Task, responses: Mapping[str, Any]) -> Do[None]:
        """Hand in answers for a task of another process.

        Args:
            task: The task.
            responses: By the keys of their questions.
        """
        return step(partial(self._answer, task, json.dumps(responses)))

    def cancel(self, task: Task) -> Do[None]:
        """Ask a task of another process to end.

        Args:
            task: The task.
        """
        return step(partial(self._cancel, task))

    def tell_delivered(self, task: Task) -> Do[None]:
        """Tell the process of a task that its client has got the outcome.

        Args:
            task: The task.
        """
        return step(partial(self._tell_delivered, task))

    def _claim(self, task_id: str, mark: str) -> Flow[Claim]:
        backplane, key = self._peers.backplane, _key(task_id)
        record = yield from done(backplane.record(key))
        if not record or _ENDED in record:
            return Claim.OVER
        begun = _claims(record)
        if begun and begun >= int(record.get(_ATTEMPTS, "1")):
            return Claim.OVER
        if begun and (yield from done(backplane.is_alive(record["node"]))):
            return Claim.BUSY
        field = f"{_CLAIM}{begun + 1}"
        fields = {field: mark, "node": self._peers.node}
        if (yield from done(backplane.note(key, fields, ttl=0, final=field))):
            return Claim.TAKEN
        # It may have been noted by a command whose answer was lost, and that was sent again.
        record = yield from done(backplane.record(key))
        return Claim.TAKEN if record.get(field) == mark else Claim.OVER

    def _tell_delivered(self, task: Task) -> Flow[None]:
        if not task.node:
            return
        # It makes room there, which is no reason to fail.
        with suppress(BackplaneUnavailable):
            yield from self._peers.send_to(task.node, "delivered", task=task.id)

    def _answer(self, task: Task, text: str) -> Flow[None]:
        backplane = self._peers.backplane
        appended = backplane.append(f"{_key(task.id)}:a", [text], ttl=task.ttl, most=_MAX_ANSWERS)
        yield from done(appended)
        yield from self._peers.send_to(task.node, "task", task=task.id)

    def _cancel(self, task: Task) -> Flow[None]:
        if not task.node and (yield from self._withdraw(task)):
            return
        note = self._peers.backplane.note(_key(task.id), {_CANCEL: "1"}, ttl=0, final=_ENDED)
        yield from done(note)
        if not task.node:
            # A worker has taken it a moment ago.
            record = yield from done(self._peers.backplane.record(_key(task.id)))
            task = replace(task, node=record.get("node", ""))
        if task.node:
            yield from self._peers.send_to(task.node, "task", task=task.id)

    def _withdraw(self, task: Task) -> Flow[bool]:
        """Cancel a task that waits for a worker: whoever gets it then finds it taken."""
        ended = replace(task, status="cancelled", updated=time.time())
        field = f"{_CLAIM}1"
        fields = {**self._fields(ended), field: "cancelled"}
        noted = yield from done(
            self._peers.backplane.note(_key(task.id), fields, ttl=0, final=field)
        )
        if noted:
            yield from self._peers.send("change", what="task", which=task.id)
        return noted

    def _find(self, task_id: str) -> Flow[Task | None]:
        backplane = self._peers.backplane
        record = yield from done(backplane.record(_key(task_id)))
        task = self._task(task_id, record)
        if task is None or task.status in TERMINAL:
            return task
        if task.status == "input_required":
            task = _still_asking(task, (yield from self.answers(task_id)))
        if task.node in ("", self._peers.node):
            return task
        if (yield from done(backplane.is_alive(task.node))):
            self._missing.pop(task.node, None)
            return task
        now = time.monotonic()
        if now < self._missing.setdefault(task.node, now) + MISSING_SECONDS:
            return task
        if _ATTEMPTS in record and _claims(record) < int(record[_ATTEMPTS]):
            # Its queue brings it to another worker.
            return task
        lost = _failed(task, _LOST)
        yield from self._note(lost)
        return lost

    def _write(self, task_id: str) -> Flow[None]:
        with self._lock:
            self._queued.discard(task_id)
            task = self._changed.get(task_id)
        if task is None:
            return
        yield from self._note(task)
        with self._lock:
            # It may have changed meanwhile. If this fails, the step is taken again.
            if self._changed.get(task_id) is task:
                del self._changed[task_id]

    def _note(self, task: Task) -> Flow[None]:
        note = self._peers.backplane.note(
            _key(task.id), self._fields(task), ttl=task.ttl, final=_ENDED
        )
        yield from done(note)
        yield from self._peers.send("change", what="task", which=task.id)

    def _write_again(self, message: Message) -> None:
        """Write what has not been written: it changes too often, or its step was dropped."""
        with self._lock:
            waiting = list(self._changed)
        for task_id in waiting:
            self._write_soon(task_id)

    def _look_at_all(self, message: Message) -> None:
        for task_id in self.running():
            self._look(task_id)

    def _look(self, task_id: str) -> None:
        """Look for what others were told for a task of this process."""
        if task_id in self.running():
            self._peers.later(step(partial(self.orders, task_id)))

    def orders(self, task_id: str) -> Flow[None]:
        """Take what other processes were told for a task of this one.

        Args:
            task_id: Its id.
        """
        record = yield from done(self._peers.backplane.record(_key(task_id)))
        answers = yield from self.answers(task_id)
        self.on_orders(task_id, answers, _CANCEL in record)

    def answers(self, task_id: str) -> Flow[list[Mapping[str, Any]]]:
        """What was answered so far to the questions of a task.

        Args:
            task_id: Its id.
        """
        items = yield from done(self._peers.backplane.items(f"{_key(task_id)}:a"))
        return [json.loads(one) for one in items]

    def _fields(self, task: Task) -> Record:
        ended = {_ENDED: "1"} if task.status in TERMINAL else {}
        return {
            "ttl": str(task.ttl),
            "poll": str(task.poll_interval),
            "caller": json.dumps(task.caller),
            "quota": task.quota,
            "tool": task.tool,
            "needs": json.dumps(self._catalogue.names_of(task.rules)),
            "created": repr(task.created),
            "updated": repr(task.updated),
            "status": task.status,
            "message": json.dumps(task.message),
            "requests": json.dumps(task.requests),
            "outcome": task.outcome.decode(),
            "node": task.node,
            **ended,
        }

    def _task(self, task_id: str, record: Record) -> Task | None:
        rules = self._catalogue.rules_of(json.loads(record["needs"])) if record else None
        if rules is None:
            # Not there, or what it has called is not known here: nobody can tell who may see it.
            return None
        return Task(
            task_id,
            float(record["ttl"]),
            float(record["poll"]),
            json.loads(record["caller"]),
            record["quota"],
            record["tool"],
            rules,
            float(record["created"]),
            float(record["updated"]),
            record["status"],
            json.loads(record["message"]),
            json.loads(record["requests"]),
            record["outcome"].encode(),
            record["node"],
        )


class _Pace:
    """How often the states of a task are shown, but for those with another status: each is told to
    every process."""

    def __init__(self) -> None:
        self._status = ""
        self._second = self._count = 0

    def allows(self, task: Task) -> bool:
        """Whether this state is shown soon; otherwise it is within some seconds.

        Args:
            task: The task.
        """
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        is_other, self._status = task.status != self._status, task.status
        return is_other or self._count <= _SHOWN_IN_A_SECOND


def _still_asking(task: Task, answers: Sequence[Mapping[str, Any]]) -> Task:
    """A task without the questions that were answered: the process that runs it learns of that a
    moment later, and another one may be asked before."""
    answered = {key for one in answers for key in one}
    requests = {key: one for key, one in task.requests.items() if key not in answered}
    return replace(task, requests=requests, status="input_required" if requests else "working")


def _claims(record: Record) -> int:
    """How often a task was taken from its queue."""
    return sum(field.startswith(_CLAIM) for field in record)


def _failed(task: Task, message: str) -> Task:
    error = ProtocolError(INTERNAL_ERROR, message)
    outcome = b'"error":%b' % encode_error_object(error)
    return replace(
        task, status="failed", message=message, requests={}, outcome=outcome, updated=time.time()
    )


def _key(task_id: str) -> str:
    return f"t:{task_id}"
