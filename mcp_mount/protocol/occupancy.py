"""Whether a plain function is running, also when nobody waits for it any more.

Under ASGI a client may leave, or run out of time, while its function goes on on a thread: what it
occupies is free when it has ended, not before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Occupancy:
    """The runs of one call's function."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._ran = False
        self._given_up = False
        self._waiting: list[Callable[[], None]] = []

    def begin(self) -> bool:
        """Whether the function may run: not, if what it would occupy is free already."""
        with self._lock:
            self._running = self._ran = not self._given_up
            return self._running

    def end(self) -> None:
        with self._lock:
            self._running = False
            waiting, self._waiting = self._waiting, []
        for free in waiting:
            free()

    def free(self, callback: Callable[[], None]) -> None:
        """Call back when the function does not run any more. One that has not begun, though it may
        wait for a thread, does not begin."""
        with self._lock:
            self._given_up = not self._ran
            if self._running:
                self._waiting.append(callback)
                return
        callback()
