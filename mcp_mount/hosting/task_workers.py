"""Workers: processes that run what queues of tasks bring them."""

from __future__ import annotations

import secrets
import time
from collections import ChainMap
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, TypeVar
from weakref import ref

from mcp_mount.backends.tasks.local import LocalTasks
from mcp_mount.backends.tasks.payloads import Origin, Payloads, UnreadablePayload, read_envelope
from mcp_mount.calls.backplane import BackplaneUnavailable
from mcp_mount.calls.flows import step
from mcp_mount.calls.tasks import Task
from mcp_mount.protocol import Protocol as ProtocolCore
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.task_board import Claim, TaskBoard
from mcp_mount.protocol.task_methods import Job
from mcp_mount.transports.driving import follow
from mcp_mount.wire.errors import ProtocolError, access_denied
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Reply
from mcp_mount.wire.sealing import TokenRefused

T = TypeVar("T")

logger = own_logger("mcp_mount")

_AGAIN_SECONDS: Final = 0.5
_NOT_BEGUN: Final = "The worker could not begin this task"
_OTHER_VERSION: Final = "The worker has another version of this server"
_SEVERAL: Final = "The worker has several servers of this name"


class TaskWorker:
    """Runs tasks of one server that other processes have begun.

    Args:
        server: Returns the name of the server.
        payloads: Opens what a queue brings.
        peers: The other processes.
        board: Where they see the state of tasks.
        tasks: Runs tasks in this process.
        protocol: Of the server.
        request: Makes the request that stands for the one which began a task: entered on the
            thread of the worker, around all of the task. Raises ProtocolError for a caller who may
            not come any more.
        names: Returns the names of the server's tools.
    """

    def __init__(
        self,
        server: Callable[[], str],
        payloads: Payloads,
        peers: Peers,
        board: TaskBoard,
        tasks: LocalTasks,
        protocol: ProtocolCore,
        request: Callable[[Origin], AbstractContextManager[ProtocolRequest]],
        names: Callable[[], frozenset[str]],
    ) -> None:
        self.server = server
        self.names = names
        self._payloads = payloads
        self._peers = peers
        self._board = board
        self._tasks = tasks
        self._protocol = protocol
        self._request = request

    def run(self, sealed: str) -> bool:
        """Run a task to its end, on this thread.

        Args:
            sealed: The sealed part of its payload.

        Returns:
            Whether it is done with; not, if another worker has it that may be lost.

        Raises:
            TokenRefused: If this server has not sealed it.
            UnreadablePayload: If another version has. Then its task has failed.
        """
        if not self._peers.shared:
            logger.error("A worker needs the backplane= of its server, or nobody sees its tasks")
            return True
        try:
            task, job, origin = self._payloads.open(sealed)
        except UnreadablePayload as error:
            self._refuse(error.task, _OTHER_VERSION)
            raise
        mark = secrets.token_hex(8)
        until = time.monotonic() + task.ttl
        # Not as a step: where another thread joins already, this one waits for it.
        _patiently(until, lambda: follow(self._peers.join()))
        claim = _patiently(until, self._board.claim(task.id, mark).do)
        if claim is not Claim.TAKEN:
            return claim is not Claim.BUSY
        until = time.monotonic() + _patiently(until, self._board.left(task.id).do)
        # What it was told before, if it has begun on a worker that was lost.
        told = _patiently(until, step(lambda: self._board.answers(task.id)).do)
        job = replace(job, answers={**job.answers, **dict(ChainMap(*map(dict, reversed(told))))})
        try:
            with self._request(origin) as request:
                self._work(task, job, request, until)
        except ProtocolError as error:
            _patiently(until, self._board.give_up(task, error.message).do)
        except Exception:
            logger.exception("The task %r could not begin", job.tool)
            _patiently(until, self._board.give_up(task, _NOT_BEGUN).do)
        _patiently(until, self._board.settle(task.id).do)
        return True

    def refuse(self, sealed: str, message: str) -> None:
        """Let a task fail that must not begin here.

        Args:
            sealed: The sealed part of its payload.
            message: Why, for its client.

        Raises:
            TokenRefused: If this server has not sealed it: then nothing is believed of it.
        """
        self._refuse(self._payloads.open(sealed)[0].id, message)

    def _refuse(self, task_id: str | None, message: str) -> None:
        if task_id is None:
            return
        try:
            self._board.refuse(task_id, message).do()
        except BackplaneUnavailable as error:
            # It fails when it should have begun.
            logger.warning("A task that is refused could not be ended: %s", error)

    def _work(self, task: Task, job: Job, request: ProtocolRequest, until: float) -> None:
        """Run a task for its caller, if they may still begin it.

        Raises:
            ProtocolError: If they may not.
        """
        refusal = follow(self._protocol.admit(request))
        if isinstance(refusal, Reply):
            raise access_denied(known=True)
        self._protocol.check_caller(request)
        self._tasks.work(job, self._protocol.run_of(job, request), task, until)


def _patiently(until: float, ask: Callable[[], T]) -> T:
    """Ask the backplane, again and again while it cannot be reached, until a time of the monotonic
    clock: nobody can want the task then."""
    while True:
        try:
            return ask()
        except BackplaneUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(_AGAIN_SECONDS)


_workers: Final[list[ref[TaskWorker]]] = []


def register(worker: TaskWorker) -> None:
    """Let a server run tasks that queues bring to this process.

    Args:
        worker: Of the server. It is not kept alive by this.
    """
    _workers[:] = [one for one in _workers if one() not in (None, worker)] + [ref(worker)]


def run_task(payload: Any) -> bool:
    """Run a task that a queue has brought to this process: on this thread, to its end.

    It never raises for what a payload is: one that is forged or altered, or that came twice, is
    logged and left.

    Args:
        payload: What `TaskQueue.submit` was given. The server must have been made in this process,
            with its tools and by the same name.

    Returns:
        Whether the queue is done with it. If not, another worker has the task and may be lost: let
        the queue bring it again in 10 seconds, if `attempts` of the queue is above 1.

    Raises:
        BackplaneUnavailable: If the backplane could not be reached for as long as the task is kept.
    """
    try:
        envelope = read_envelope(payload)
        found = _workers_of(envelope.server)
        if not found:
            return True
        # A factory may have made several: the last one counts.
        worker = found[-1]
        if all(one.names() == worker.names() for one in found):
            return worker.run(envelope.sealed)
        logger.error(
            "Two servers have the name %r: tasks in other processes need others", envelope.server
        )
        worker.refuse(envelope.sealed, _SEVERAL)
        return True
    except TokenRefused as error:
        logger.warning("A payload of a task is refused: %s", error)
        return True


def _workers_of(server: str) -> list[TaskWorker]:
    """The workers of the servers of a name."""
    known = [one for one in (worker() for worker in _workers) if one is not None]
    found = [one for one in known if one.server() == server]
    if not found:
        logger.error(
            "A task is for the server %r, which this worker has not made: import the module that "
            "makes it, with its tools; or, if the task is another application's, let each have a "
            "queue of its own",
            server,
        )
    return found
