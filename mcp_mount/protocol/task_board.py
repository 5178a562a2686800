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

from mcp_mount.calls.backplane import BackplaneUnavailable, Message, Record
from mcp_mount.calls.catalogue import Catalogue
from mcp_mount.calls.flows import Do, Flow, done, step
from mcp_mount.calls.tasks import TERMINAL, Task, TaskLimits
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.task_places import TaskPlaces
from mcp_mount.protocol.task_records import (
    CANCEL,
    ENDED,
    age,
    answers_in,
    claims,
    failed,
    fields_of,
    is_task_id,
    key_of,
    may_begin,
    missed,
    next_claim,
    queue_fields,
    readable,
    task_of,
    why_overdue,
)
from mcp_mount.wire.forks import after_fork

_SHOWN_IN_A_SECOND: Final = 20
_MAX_ANSWERS: Final = 1000
_MAX_UNASKED_CHARACTERS: Final = 1024 * 1024
"""How large the answers to a task may be together, once some are to no question that is known: they
are kept as long as the task is."""

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
        on_failed: Takes the id of a task of another process, or of none, that was given up here.
        running: Returns the ids of the tasks that run here.
    """

    def __init__(self, peers: Peers, catalogue: Catalogue) -> None:
        self.on_orders: OnOrders = lambda task, answers, cancelled: None
        self.on_delivered: Callable[[str], None] = lambda task: None
        self.on_failed: Callable[[str], None] = lambda task: None
        self.running: Callable[[], Sequence[str]] = tuple
        self._peers = peers
        self._places = TaskPlaces(peers)
        self._catalogue = catalogue
        self._clear()
        after_fork(self._clear)
        peers.on("task", lambda message: self._look(message["task"]))
        peers.on("delivered", lambda message: self.on_delivered(message["task"]))
        peers.on("resync", self._look_at_all)
        peers.on("beat", self._write_again)

    def _clear(self) -> None:
        self._lock = threading.RLock()
        self._changed: dict[str, Task] = {}
        self._queued: set[str] = set()
        self._paces: dict[str, _Pace] = {}

    @property
    def is_shared(self) -> bool:
        """Whether there may be other processes."""
        return self._peers.shared

    @property
    def node(self) -> str:
        """The name of this process; none, if there are no others."""
        return self._peers.node if self.is_shared else ""

    def add(self, task: Task, limits: TaskLimits) -> Do[None]:
        """Show a task that is about to begin here.

        Args:
            task: The task.
            limits: How many there may be in all processes.
        """
        return step(partial(self._add, task, limits, self._fields(task)))

    def enqueue(
        self, task: Task, limits: TaskLimits, *, attempts: int, begin_within: float
    ) -> Do[None]:
        """Show a task that waits for a worker.

        Args:
            task: The task, which no process has as yet.
            limits: How many there may be in all processes.
            attempts: How often it may begin, if its workers are lost.
            begin_within: The seconds within which a worker must begin it.
        """
        fields = {**self._fields(task), **queue_fields(attempts, begin_within)}
        return step(partial(self._add, task, limits, fields))

    def keep(
        self, task: Task, size: int, left: float, limits: TaskLimits, *, otherwise: bool
    ) -> Do[bool]:
        """Whether the outcome of a task of this process can be kept.

        Args:
            task: The task.
            size: That of its outcome, in bytes.
            left: In how many seconds it is forgotten.
            limits: How large the outcomes of all processes may be.
            otherwise: What holds while the backplane cannot be reached.
        """
        return step(partial(self._places.keep, task, size, left, limits, otherwise=otherwise))

    def drop(self, task: Task) -> Do[None]:
        """Drop a task that no worker has begun: none does from now on. Its client does not know it.

        Args:
            task: The task.
        """
        return step(partial(self._drop, task))

    def drop_later(self, task: Task) -> None:
        """The same without waiting for it.

        Args:
            task: The task.
        """
        self._places.give_back_later(task)

    def give_up(self, task: Task, message: str) -> Do[bool]:
        """Let a task fail that has not run.

        Args:
            task: The task.
            message: Why.

        Returns:
            Whether it had not ended before.
        """
        return step(partial(self._note, failed(task, message)))

    def refuse(self, task_id: str, message: str) -> Do[None]:
        """Let a task fail that a worker cannot read, unless another one has it.

        Args:
            task_id: Its id, which is proven.
            message: Why.
        """
        return step(partial(self._refuse, task_id, message))

    def claim(self, task_id: str, mark: str) -> Do[Claim]:
        """Take a task from its queue, for this process.

        Args:
            task_id: Its id.
            mark: Tells this delivery from all others.
        """
        return step(partial(self._claim, task_id, mark))

    def left(self, task_id: str) -> Do[float]:
        """In how many seconds a task is forgotten; 0 if there is none, or no more.

        Args:
            task_id: Its id.
        """
        return step(lambda: done(self._peers.backplane.left(key_of(task_id))))

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
        return step(partial(self._answer, task, responses))

    def cancel(self, task: Task) -> Do[None]:
        """Ask a task of another process to end.

        Args:
            task: The task.
        """
        return step(partial(self._cancel, task))

    def tell_delivered(self, task: Task) -> Do[None]:
        """Note that the client of a task has got the outcome, and tell its process.

        Args:
            task: The task.
        """
        return step(partial(self._tell_delivered, task))

    def _add(self, task: Task, limits: TaskLimits, fields: Record) -> Flow[None]:
        yield from self._places.take(task, limits)
        try:
            note = self._peers.backplane.note(key_of(task.id), fields, ttl=task.ttl, new=True)
            yield from done(note)
        except BaseException:
            # It does not run, though it may have been noted.
            self.drop_later(task)
            raise

    def _drop(self, task: Task) -> Flow[None]:
        try:
            yield from self._places.give_back(task)
        except BackplaneUnavailable:
            self.drop_later(task)

    def _claim(self, task_id: str, mark: str) -> Flow[Claim]:
        backplane, key = self._peers.backplane, key_of(task_id)
        record = yield from self._record(task_id)
        if not record or ENDED in record:
            return Claim.OVER
        if not may_begin(record):
            return Claim.OVER
        if claims(record) and (yield from done(backplane.is_alive(record["node"]))):
            return Claim.BUSY
        message = yield from self._why_overdue(task_id, record)
        if message is not None:
            yield from self._give_up(task_id, record, message)
            return Claim.OVER
        field = next_claim(record)
        fields = {field: mark, "node": self._peers.node}
        if (yield from done(backplane.note(key, fields, ttl=0, final=field))):
            return Claim.TAKEN
        # It may have been noted by a command whose answer was lost, and that was sent again.
        record = yield from self._record(task_id)
        return Claim.TAKEN if record.get(field) == mark else Claim.OVER

    def _tell_delivered(self, task: Task) -> Flow[None]:
        # It makes room, which is no reason to fail.
        try:
            yield from self._places.release(task)
        except BackplaneUnavailable:
            self._peers.later(step(partial(self._places.release, task)))
        if task.node not in ("", self._peers.node):
            with suppress(BackplaneUnavailable):
                yield from self._peers.send_to(task.node, "delivered", task=task.id)

    def _answer(self, task: Task, responses: Mapping[str, Any]) -> Flow[None]:
        if task.status in TERMINAL:
            return
        backplane, key = self._peers.backplane, f"{key_of(task.id)}:a"
        told = yield from done(backplane.items(key))
        answered = {name for one in map(answers_in, told) for name in one or ()}
        new = {name: one for name, one in responses.items() if name not in answered}
        text = json.dumps(new)
        # A client may have seen a question before it was shown here: then it comes again.
        size = len(text) + sum(map(len, told))
        if not new.keys() <= task.requests.keys() and size > _MAX_UNASKED_CHARACTERS:
            raise BackplaneUnavailable("nobody is known to have asked what was answered")
        if new:
            yield from done(backplane.append(key, [text], ttl=task.ttl, most=_MAX_ANSWERS))
        yield from self._peers.send_to(task.node, "task", task=task.id)

    def _cancel(self, task: Task) -> Flow[None]:
        if not task.node and (yield from self._withdraw(task)):
            return
        note = self._peers.backplane.note(key_of(task.id), {CANCEL: "1"}, ttl=0, final=ENDED)
        yield from done(note)
        if not task.node:
            # A worker has taken it a moment ago.
            record = yield from self._record(task.id)
            task = replace(task, node=record.get("node", ""))
        if task.node:
            yield from self._peers.send_to(task.node, "task", task=task.id)

    def _withdraw(self, task: Task) -> Flow[bool]:
        """Cancel a task that waits for a worker: whoever gets it then finds it taken."""
        ended = replace(task, status="cancelled", updated=time.time())
        return (yield from self._take_away(ended, next_claim({})))

    def _refuse(self, task_id: str, message: str) -> Flow[None]:
        record = yield from self._record(task_id)
        if record and ENDED not in record and not claims(record):
            yield from self._give_up(task_id, record, message)

    def _give_up(self, task_id: str, record: Record, message: str) -> Flow[Task | None]:
        """Let a task fail that no worker has, unless one takes it now: the task, as it is then."""
        task = self._task(task_id, record)
        if task is not None:
            ended = failed(task, message)
            if (yield from self._take_away(ended, next_claim(record))):
                self.on_failed(task_id)
                return ended
        record = yield from self._record(task_id)
        return self._task(task_id, record)

    def _take_away(self, ended: Task, claim: str) -> Flow[bool]:
        """End a task in the place of the worker that would take it next."""
        fields = {**self._fields(ended), claim: ended.status}
        noted = yield from done(
            self._peers.backplane.note(key_of(ended.id), fields, ttl=0, final=claim)
        )
        if noted:
            yield from self._peers.send("change", what="task", which=ended.id)
        return noted

    def _find(self, task_id: str) -> Flow[Task | None]:
        if not is_task_id(task_id):
            return None
        record = yield from self._record(task_id)
        task = self._task(task_id, record)
        if task is None or task.status in TERMINAL:
            return task
        if task.status == "input_required":
            task = _still_asking(task, (yield from self.answers(task_id)))
        if not task.node:
            message = yield from self._why_overdue(task_id, record)
            return task if message is None else (yield from self._give_up(task_id, record, message))
        if task.node == self._peers.node:
            return task
        if not (yield from self._peers.is_lost(task.node)):
            return task
        if may_begin(record):
            return (yield from self._waiting_again(task, record))
        lost = failed(task, _LOST)
        noted = yield from self._note(lost)
        self.on_failed(task_id)
        if noted:
            return lost
        # The worker was only away, and has ended the task this very moment.
        return self._task(task_id, (yield from self._record(task_id)))

    def _waiting_again(self, task: Task, record: Record) -> Flow[Task | None]:
        """A task whose worker is lost, and that its queue brings to another one in time."""
        field = missed(record)
        if field not in record:
            left = yield from done(self._peers.backplane.left(key_of(task.id)))
            since = {field: repr(age(record, left))}
            yield from done(self._peers.backplane.note(key_of(task.id), since, ttl=0, final=field))
            return task
        message = yield from self._why_overdue(task.id, record)
        return task if message is None else (yield from self._give_up(task.id, record, message))

    def _why_overdue(self, task_id: str, record: Record) -> Flow[str | None]:
        left = yield from done(self._peers.backplane.left(key_of(task_id)))
        return why_overdue(record, left)

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

    def _note(self, task: Task) -> Flow[bool]:
        """Show the state of a task; False, if it has ended before."""
        note = self._peers.backplane.note(
            key_of(task.id), self._fields(task), ttl=task.ttl, final=ENDED
        )
        noted = yield from done(note)
        yield from self._peers.send("change", what="task", which=task.id)
        return noted

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
        record = yield from self._record(task_id)
        answers = yield from self.answers(task_id)
        self.on_orders(task_id, answers, CANCEL in record)

    def answers(self, task_id: str) -> Flow[list[Mapping[str, Any]]]:
        """What was answered so far to the questions of a task.

        Args:
            task_id: Its id.
        """
        items = yield from done(self._peers.backplane.items(f"{key_of(task_id)}:a"))
        return [one for item in items if (one := answers_in(item)) is not None]

    def _record(self, task_id: str) -> Flow[Record]:
        """The record of a task; none, if there is none that can be read."""
        return readable((yield from done(self._peers.backplane.record(key_of(task_id)))))

    def _fields(self, task: Task) -> Record:
        return fields_of(task, self._catalogue)

    def _task(self, task_id: str, record: Record) -> Task | None:
        return task_of(task_id, record, self._catalogue)


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
