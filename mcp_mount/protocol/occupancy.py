"""Whether a handler is running, also when nobody waits for it any more.

A client may leave, or run out of time, while its function goes on: what it occupies is free, and
what it uses is closed, when it has ended, not before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_LASTS: Final = "mcp_mount_lasts"


def lasting(function: F) -> F:
    """Mark a coroutine function that goes on to its end when it is cancelled, as a plain function
    does: what it has begun is not for us to stop."""
    setattr(function, _LASTS, True)
    return function


def is_lasting(function: Callable[..., Any]) -> bool:
    return getattr(function, _LASTS, False)


class Occupancy:
    """The runs of one call's handler. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._has_begun = False
        self._counts = False
        self._given_up = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def has_begun(self) -> bool:
        """Whether the handler has begun to run, at least once."""
        return self._has_begun

    @property
    def is_running(self) -> bool:
        return self._running

    @property
    def given_up(self) -> bool:
        """Whether the outcome of the handler counts for nobody any more."""
        return self._given_up

    def begin(self) -> bool:
        """Whether the handler may run: not, if it was given up."""
        with self._lock:
            self._counts = False
            self._running = not self._given_up
            self._has_begun |= self._running
            return self._running

    def settle(self) -> bool:
        """Whether the outcome of the handler, which has ended, counts: it cannot be given up then.

        This and `give_up` are ordered by a lock, so that nothing is committed of which the client
        hears that it was too late.
        """
        with self._lock:
            self._counts = not self._given_up
            return self._counts

    def give_up(self) -> bool:
        """Let the outcome count for nobody, and a handler that has not begun not begin.

        False if the handler has ended in time, so that its outcome counts.
        """
        with self._lock:
            self._given_up = not self._counts
            return self._given_up

    def prevent(self) -> bool:
        """Give up a handler that has not begun; whether it was so."""
        with self._lock:
            if not self._has_begun:
                self._given_up = True
            return not self._has_begun

    def end(self) -> None:
        with self._lock:
            self._running = False
            waiting, self._waiting = self._waiting, []
        for call_back in waiting:
            call_back()

    def when_idle(self, call_back: Callable[[], None]) -> None:
        """Call back when the handler does not run any more; at once if it does not run."""
        with self._lock:
            if self._running:
                self._waiting.append(call_back)
                return
        call_back()
