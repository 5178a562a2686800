"""Tasks as records of a backplane: their fields, and what these say of workers.

A queue brings a task to workers. Each that takes it writes a field of its own, "claim1" for the
first, "claim2" for the next one after the first was lost, and so on; whoever withdraws the task, or
gives it up, writes the next of these fields, so that no worker can. Each is written once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, Final

from mcp_mount.calls.backplane import Record
from mcp_mount.calls.catalogue import Catalogue
from mcp_mount.calls.tasks import TERMINAL, Task
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import encode_error_object

logger = own_logger("mcp_mount")

ENDED: Final = "ended"
"""The field of a task that has ended: its state changes no more."""

CANCEL: Final = "cancel"
"""The field of a task that was cancelled."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CLAIM: Final = "claim"
_LOST: Final = "lost"
_ATTEMPTS: Final = "attempts"
_BEGIN: Final = "begin"
_NEVER: Final = float("inf")

_LATEST: Final = 1e11
"""The latest time that has a name, in seconds since the epoch: in three thousand years."""

_LONGEST: Final = 1e300
"""As many seconds as still have a number in milliseconds."""


def is_task_id(text: str) -> bool:
    """Whether a client can have got this as the id of a task: other keys begin like that of a task.

    Args:
        text: What a client has sent.
    """
    return _ID.fullmatch(text) is not None


def key_of(task_id: str) -> str:
    """The key of a task.

    Args:
        task_id: Its id.
    """
    return f"t:{task_id}"


def fields_of(task: Task, catalogue: Catalogue) -> Record:
    """The fields of a task.

    Args:
        task: The task.
        catalogue: Has the rules of what it calls.
    """
    ended = {ENDED: "1"} if task.status in TERMINAL else {}
    return {
        "ttl": str(task.ttl),
        "poll": str(task.poll_interval),
        "caller": json.dumps(task.caller),
        "quota": task.quota,
        "tool": task.tool,
        "needs": json.dumps(catalogue.names_of(task.rules)),
        "created": repr(task.created),
        "updated": repr(task.updated),
        "status": task.status,
        "message": json.dumps(task.message),
        "requests": json.dumps(task.requests),
        "outcome": task.outcome.decode(),
        "node": task.node,
        **ended,
    }


def queue_fields(attempts: int, begin_within: float) -> Record:
    """The fields that a task has besides, if it waits for a worker.

    Args:
        attempts: How often it may begin, if its workers are lost.
        begin_within: The seconds within which a worker must begin it.
    """
    return {_ATTEMPTS: str(attempts), _BEGIN: str(begin_within)}


def readable(record: Record) -> Record:
    """A record, or none, if not all of it can be read: this library has not written it.

    Args:
        record: Its fields.
    """
    if not record:
        return record
    try:
        sound = all(_is_sound(record, name, check) for name, check in _FIELDS.items()) and all(
            isfinite(float(text))
            for name, text in record.items()
            if name in (_ATTEMPTS, _BEGIN) or name.startswith(_LOST)
        )
        int(record.get(_ATTEMPTS, "0"))
    except (KeyError, ValueError, OverflowError, RecursionError):
        sound = False
    if not sound:
        logger.warning("Something on the backplane is no task of this library")
    return record if sound else {}


def _is_sound(record: Record, name: str, check: Callable[[Any], bool] | None) -> bool:
    return record[name] is not None if check is None else check(json.loads(record[name]))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_text_or_none(value: Any) -> bool:
    return isinstance(value, str | None)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _LATEST


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _LONGEST


_FIELDS: Final[Mapping[str, Callable[[Any], bool] | None]] = {
    "ttl": _is_seconds,
    "poll": _is_seconds,
    "caller": _is_text_or_none,
    "quota": None,
    "tool": None,
    "needs": _is_names,
    "created": _is_time,
    "updated": _is_time,
    "status": None,
    "message": _is_text_or_none,
    "requests": lambda value: isinstance(value, dict),
    "outcome": None,
    "node": None,
}
"""What `fields_of` writes, and whether what JSON says is of its kind; None for a text as it is."""


def task_of(task_id: str, record: Record, catalogue: Catalogue) -> Task | None:
    """The task of a record; None, if nobody can tell who may see it.

    Args:
        task_id: Its id.
        record: Its fields; none, if there is no such task.
        catalogue: Has the rules of what it calls, as far as they are known here.
    """
    rules = catalogue.rules_of(json.loads(record["needs"])) if record else None
    if rules is None:
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


def answers_in(text: str) -> Mapping[str, Any] | None:
    """Answers to the questions of a task, by their keys; None for anything else.

    Args:
        text: What stands in the list of answers.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def failed(task: Task, message: str) -> Task:
    """A task, failed.

    Args:
        task: The task.
        message: Why, for its client.
    """
    outcome = b'"error":%b' % encode_error_object(ProtocolError(INTERNAL_ERROR, message))
    return replace(
        task, status="failed", message=message, requests={}, outcome=outcome, updated=time.time()
    )


def claims(record: Record) -> int:
    """How often a task was taken from its queue.

    Args:
        record: Its fields.
    """
    return sum(field.startswith(_CLAIM) for field in record)


def next_claim(record: Record) -> str:
    """The field of whoever takes a task next.

    Args:
        record: Its fields.
    """
    return f"{_CLAIM}{claims(record) + 1}"


def may_begin(record: Record) -> bool:
    """Whether a queue may bring a task to a worker, as far as attempts go: those of tasks that were
    in no queue never do.

    Args:
        record: Its fields.
    """
    return claims(record) < int(record.get(_ATTEMPTS, "0"))


def missed(record: Record) -> str:
    """The field that says at which age of a task its worker was first missed, while another may
    begin it.

    Args:
        record: Its fields.
    """
    return f"{_LOST}{claims(record)}"


def age(record: Record, left: float) -> float:
    """For how many seconds there has been a task.

    Args:
        record: Its fields.
        left: In how many seconds its record is forgotten. The clock that says when it was made is
            that of another machine.
    """
    return float(record["ttl"]) - left


def why_overdue(record: Record, left: float) -> str | None:
    """Why no worker begins a task any more; None, if one may still do.

    Args:
        record: The fields of a task that waits for a worker, or whose worker is lost.
        left: In how many seconds its record is forgotten.
    """
    begun = claims(record)
    since = float(record.get(missed(record), _NEVER)) if begun else 0.0
    seconds = float(record.get(_BEGIN, _NEVER))
    if age(record, left) <= since + seconds:
        return None
    before = "The worker that ran this task was lost, and no other" if begun else "No worker"
    return f"{before} began {'it' if begun else 'this task'} within {seconds:g} seconds"
