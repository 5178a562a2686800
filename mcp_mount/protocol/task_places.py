"""How many tasks there may be, and how large their outcomes: counted where all processes see it."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import Final

from mcp_mount.calls.backplane import BackplaneNotAsked, BackplaneUnavailable, Pool, PoolEntry
from mcp_mount.calls.flows import Flow, done, step
from mcp_mount.calls.tasks import Task, TaskLimits
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.task_methods import no_room_for_tasks, too_many_tasks
from mcp_mount.protocol.task_records import key_of

_ALL: Final = "tasks"
"""The pool of all tasks of the server; those of its callers have names that begin with it."""


class TaskPlaces:
    """The places of tasks in all processes, where there are several.

    A task has one in the pool of all and one in that of its caller, until it is forgotten. If its
    client has got the outcome, it makes room for others. No process keeps a count: one that is
    killed leaves nothing behind that does not end by itself.

    Args:
        peers: The other processes.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def take(self, task: Task, limits: TaskLimits) -> Flow[None]:
        """Take places for a new task.

        Args:
            task: The task.
            limits: How many there may be.

        Raises:
            ProtocolError: If there is none (503), or none for this caller (429).
        """
        try:
            entry = yield from self._enter(task, 0, task.ttl, limits)
        except BackplaneNotAsked:
            raise
        except BaseException:
            # It may have been given, though the answer has not come.
            self.give_back_later(task)
            raise
        if entry.full == _ALL:
            raise no_room_for_tasks()
        if entry.full is not None:
            raise too_many_tasks(entry.seconds)

    def keep(
        self, task: Task, size: int, left: float, limits: TaskLimits, *, otherwise: bool
    ) -> Flow[bool]:
        """Note how large the outcome of a task is: whether it can be kept.

        Args:
            task: The task.
            size: In bytes.
            left: In how many seconds the task is forgotten.
            limits: How large all outcomes may be.
            otherwise: What holds where that cannot be told: the task has run, and its outcome is
                written when the backplane is there again.
        """
        try:
            entry = yield from self._enter(task, size, max(0.001, left), limits)
        except BackplaneUnavailable:
            return otherwise
        return entry.full is None

    def release(self, task: Task) -> Flow[None]:
        """Note that a task makes room: its client has got the outcome.

        Args:
            task: The task.
        """
        yield from done(self._peers.backplane.leave(_pools(task), task.id, at_need=True))

    def give_back(self, task: Task) -> Flow[None]:
        """Give the places of a task back, and drop its record: it does not run.

        Args:
            task: The task.
        """
        # The record first: a worker that a queue brings the task to finds none.
        yield from self._forget(task.id)
        yield from done(self._peers.backplane.leave(_pools(task), task.id))

    def give_back_later(self, task: Task) -> None:
        """The same without waiting for it.

        Args:
            task: The task.
        """
        self._peers.later(step(partial(self.give_back, task)))

    def _enter(self, task: Task, size: int, left: float, limits: TaskLimits) -> Flow[PoolEntry]:
        everyone, own = _pools(task)
        # Who has used up a quota of their own makes no room in that of all.
        pools = [
            Pool(own, limits.tasks_per_caller, limits.result_bytes_per_caller),
            Pool(everyone, limits.tasks, limits.result_bytes),
        ]
        entry = yield from done(self._peers.backplane.enter(pools, task.id, ttl=left, size=size))
        for dropped in entry.dropped:
            yield from self._forget(dropped)
        return entry

    def _forget(self, task_id: str) -> Flow[None]:
        for key in (key_of(task_id), f"{key_of(task_id)}:a"):
            yield from done(self._peers.backplane.forget(key))


def _pools(task: Task) -> tuple[str, str]:
    """The names of the pools of a task: that of all, and that of its caller."""
    # The key of a caller may be of any length.
    whose = sha256(task.quota.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return _ALL, f"{_ALL}:{whose}"
