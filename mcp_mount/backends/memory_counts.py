"""Counts of throttles in this process, by the library `limits`, without a thread of their own.

Imported when the first throttle counts: the library belongs to an extra.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final

from limits.storage import MemoryStorage

_SWEEP_SECONDS: Final = 10.0


class MemoryCounts(MemoryStorage):
    """The memory storage of `limits`, swept now and then by whoever counts.

    The library's own (as of 5.6) starts a `threading.Timer` of 10 ms at nearly every count: a
    hundred threads a second on a busy server, each of which looks through all keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timer.cancel()
        timer: Any = _InPlaceOfTimer(self._sweep)
        self.timer = timer

    def _sweep(self) -> None:
        now = time.time()
        for key in list(self.events):
            with self.locks[key]:
                events = self.events.get(key, [])
                # The newest come first.
                del events[bisect_left(events, -now, key=lambda event: -event.expiry) :]
                if not events:
                    self.events.pop(key, None)
                    self.locks.pop(key, None)
        for key, expires in list(self.expirations.items()):
            if expires <= now:
                self.clear(key)


class _InPlaceOfTimer:
    """What the storage asks, before each count, whether its sweep is due. Always "alive"."""

    def __init__(self, sweep: Callable[[], None]) -> None:
        self._sweep = sweep
        self._next = time.monotonic() + _SWEEP_SECONDS

    def is_alive(self) -> bool:
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _SWEEP_SECONDS
            self._sweep()
        return True
