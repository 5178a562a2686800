"""Whether a CancelledError is the end of a call, or only of something that its handler awaited.

A handler that awaits a task which somebody else has cancelled gets the same exception as one whose
client has left. The first is a failure of the handler, the second is no concern of it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final
from weakref import WeakSet

_told: Final[WeakSet[asyncio.Task[Any]]] = WeakSet()
"""The tasks that were told to give up."""


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task that runs a call. On its event loop."""
    tell(task)
    task.cancel()


def tell(task: asyncio.Task[Any]) -> None:
    """Note that a task is to give up: for those who throw the CancelledError by themselves."""
    _told.add(task)


def forget(task: asyncio.Task[Any]) -> None:
    """Note that a task has given up what it was told to, and goes on."""
    _told.discard(task)


def is_being_cancelled() -> bool:
    """Whether the current task itself is to end.

    Since Python 3.11 tasks know that. Before, a task that the host cancels, and not we, is not
    recognised: its call fails then, and the host's own next await is cancelled if it insists.
    """
    task = asyncio.current_task()
    if task is None or task in _told:
        return True
    if sys.version_info >= (3, 11):
        return task.cancelling() > 0
    return False
