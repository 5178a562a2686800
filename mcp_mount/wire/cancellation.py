"""Whether a CancelledError ends a call, or only something that its handler awaited.

A handler that awaits a task which other code has cancelled gets the same exception as one whose
client has left. The first is a failure of the handler, the second is not.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final
from weakref import WeakSet

_cancelled: Final[WeakSet[asyncio.Task[Any]]] = WeakSet()
"""The tasks that run a call and that we have cancelled."""


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task that runs a call; must be called on its event loop."""
    mark_cancelled(task)
    task.cancel()


def mark_cancelled(task: asyncio.Task[Any]) -> None:
    """Note that a task is cancelled, for drivers that throw the CancelledError themselves."""
    _cancelled.add(task)


def unmark_cancelled(task: asyncio.Task[Any]) -> None:
    """Note that the cancelled call of a task has ended and that the task goes on."""
    _cancelled.discard(task)


def is_being_cancelled() -> bool:
    """Whether the current task itself is cancelled.

    Since Python 3.11 tasks know that. Before 3.11 a cancellation by the host is not recognised
    here: the call fails, and the host's next await raises if the host cancels again.
    """
    task = asyncio.current_task()
    if task is None or task in _cancelled:
        return True
    if sys.version_info >= (3, 11):
        return task.cancelling() > 0
    return False
