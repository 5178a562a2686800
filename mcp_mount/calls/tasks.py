"""Tasks: calls that answer at once with a handle, and go on in the background.

The rules are those of the extension `io.modelcontextprotocol/tasks` (SEP-2663).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from math import inf
from typing import Any, Final, Protocol

from mcp_mount.calls.questions import Suspended
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.messages import Rule

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class TaskPolicy:
    """When a tool call becomes a task, for clients that support tasks.

    Args:
        required: Whether a client that does not support tasks is refused (-32021); otherwise it
            gets the result in the end.
        when: Decides by the arguments.
        deferred: Whether the handler itself decides, with `ctx.start_task()`.
        ttl: How long a task and its result are kept, in seconds from its creation.
        poll_interval: How often clients should look, in seconds.
        begin_within: Where a queue brings the task to a worker: the seconds within which one must
            begin it, from its creation, or again from when its worker was missed. Afterwards it
            fails, and never begins. By default half of `ttl`.

    Raises:
        TypeError: If a value is of another kind.
    """

    required: bool = False
    when: Callable[[Mapping[str, Any]], bool] | None = None
    deferred: bool = False
    ttl: float = 3600.0
    poll_interval: float = 1.0
    begin_within: float | None = None

    def __post_init__(self) -> None:
        for name in ("ttl", "poll_interval", "begin_within"):
            value = getattr(self, name)
            if name == "begin_within" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
                raise TypeError(
                    f"TaskPolicy({name}=…) is a number of seconds above 0, not {value!r}"
                )
        for name in ("required", "deferred"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(
                    f"TaskPolicy({name}=…) is True or False, not {getattr(self, name)!r}"
                )
        if self.when is not None and not callable(self.when):
            raise TypeError(
                f"TaskPolicy(when=…) is a function of the arguments, not {self.when!r}; "
                "task=True makes every call a task"
            )


@dataclass(slots=True)
class TaskLimits:
    """How much is kept for tasks.

    Callers whom the host does not know share one quota. Where a quota is used up, tasks whose
    outcome the client has got make room, the oldest first; if there are none, a new task is
    refused, and an outcome that does not fit is replaced by an error that says so.

    Attributes:
        tasks: How many tasks the server keeps, those that run and those that have ended.
        tasks_per_caller: How many of them may be one caller's.
        result_bytes: How large all kept outcomes may be together, encoded.
        result_bytes_per_caller: How large those of one caller may be.
    """

    tasks: int = 10_000
    tasks_per_caller: int = 1_000
    result_bytes: int = 64 * 1024 * 1024
    result_bytes_per_caller: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise TypeError(f"TaskLimits({one.name}=…) is a number from 1 on, not {value!r}")


class TaskRequired(Suspended):
    """The call goes on as a task: raised in a handler by `ctx.start_task()`."""


@dataclass(slots=True)
class Task:
    """The state of a task.

    Attributes:
        id: Its id, which nobody can guess.
        ttl: How long it is kept, in seconds from its creation.
        poll_interval: How often clients should look, in seconds.
        caller: The key of its owner.
        quota: The key of the quota in which it counts.
        tool: The name of the tool.
        rules: The rules that its caller has met for it so far, and for what it has called; whoever
            comes back for it must meet them, too.
        created: In seconds since the epoch.
        updated: In seconds since the epoch; 0 if it has not changed.
        status: "working", "input_required", "completed", "failed" or "cancelled".
        message: The status message.
        requests: The input requests that wait for an answer, as on the wire.
        outcome: The encoded member `result` or `error`.
        node: The name of the process that runs it, where there are several.
    """

    id: str
    ttl: float
    poll_interval: float
    caller: str | None = None
    quota: str = ""
    tool: str = ""
    rules: Sequence[Rule] = ()
    created: float = field(default_factory=time.time)
    updated: float = 0.0
    status: str = "working"
    message: str | None = None
    requests: Mapping[str, Any] = field(default_factory=dict)
    outcome: bytes = b""
    node: str = ""

    def members(self) -> dict[str, Any]:
        """What every form of a task has on the wire."""
        shown = {
            "taskId": self.id,
            "status": self.status,
            "createdAt": _iso(self.created),
            # By the clock of another machine, perhaps, which is behind.
            "lastUpdatedAt": _iso(max(self.updated, self.created)),
            "ttlMs": int(self.ttl * 1000),
            "pollIntervalMs": max(1, int(self.poll_interval * 1000)),
        }
        if self.message is not None:
            shown["statusMessage"] = self.message
        return shown

    def detail(self) -> bytes:
        """The encoded members of a `DetailedTask`."""
        shown = self.members()
        if self.status == "input_required":
            shown["inputRequests"] = self.requests
        members = encode(shown)[1:-1]
        return members + b"," + self.outcome if self.outcome else members


class TaskQueue(Protocol):
    """Brings tasks to workers, which are other processes: a broker, and the library that uses it.

    A worker runs a payload by `mcp_mount.tasks.run_task`. A queue may have two more members:
    `revoke(task_id)`, which is told of tasks that were cancelled before a worker had them, and
    `attempts`, how often a task may begin whose workers are lost (1 by default).
    """

    def submit(self, payload: str) -> object:
        """Bring a payload to a worker, which may have it at any later time.

        Args:
            payload: A text in JSON. Its members "server" and "task" are the name of the server and
                the id of the task; the rest is sealed.

        Raises:
            Exception: If that cannot be done now; the client is told to come back later.
        """


class TaskHandle(Protocol):
    """A task as its own handler sees it."""

    @property
    def id(self) -> str: ...

    def say(self, message: str) -> None:
        """Set the status message."""


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
