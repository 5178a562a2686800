"""Whether a handler is running, even if no client waits for it any more.

A client may leave, or its call may run out of time, while its function goes on. What the function
occupies is released, and what it uses is closed, when the function has ended and not before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_LASTS: Final = "mcp_mount_lasts"


def lasting(function: F) -> F:
    """Mark a coroutine function that runs to its end even when its call is cancelled, as a plain
    function does."""
    setattr(function, _LASTS, True)
    return function


def is_lasting(function: Callable[..., Any]) -> bool:
    """Whether a coroutine function is marked by `lasting`."""
    return getattr(function, _LASTS, False)


class Activity:
    """Counts functions that run, and calls back when none does. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: list[Callable[[], None]] = []

    @property
    def is_running(self) -> bool:
        """Whether a function runs."""
        return self._running > 0

    def begin(self) -> bool:
        """Count a function that begins. Returns whether it may."""
        with self._lock:
            self._running += 1
        return True

    def end(self) -> None:
        """Count a function that has ended; the last one calls back."""
        with self._lock:
            self._running -= 1
            if self._running:
                return
            waiting, self._waiting = self._waiting, []
        for call_back in waiting:
            call_back()

    def when_idle(self, call_back: Callable[[], None]) -> None:
        """Call back when no function runs any more; at once if none does."""
        with self._lock:
            if self._running:
                self._waiting.append(call_back)
                return
        call_back()


class RunTracker(Activity):
    """The runs of one call's handler, and whether their outcome counts."""

    def __init__(self) -> None:
        super().__init__()
        self._has_begun = False
        self._counts = False
        self._given_up = False

    @property
    def has_begun(self) -> bool:
        """Whether the handler has begun to run, at least once."""
        return self._has_begun

    @property
    def given_up(self) -> bool:
        """Whether the outcome of the handler is dropped."""
        return self._given_up

    def begin(self) -> bool:
        """Count a run that begins. Returns whether it may: not if the handler was given up."""
        with self._lock:
            self._counts = False
            if self._given_up:
                return False
            self._has_begun = True
            self._running += 1
            return True

    def settle(self) -> bool:
        """Note that the handler has ended. Returns whether its outcome counts.

        An outcome that counts cannot be given up any more. This and `give_up` share a lock:
        otherwise work could be committed whose client was told that it was too late.
        """
        with self._lock:
            self._counts = not self._given_up
            return self._counts

    def give_up(self) -> bool:
        """Drop the outcome of the handler, and keep one that has not begun from beginning.

        Returns:
            False if the handler has ended in time, so that its outcome counts.
        """
        with self._lock:
            self._given_up = not self._counts
            return self._given_up

    def prevent(self) -> bool:
        """Give up the handler if it has not begun. Returns whether that was so."""
        with self._lock:
            if not self._has_begun:
                self._given_up = True
            return not self._has_begun
