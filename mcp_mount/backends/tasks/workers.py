"""Threads for tasks: as many as are needed, up to a bound, and none that holds up a shutdown."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_IDLE_SECONDS: Final = 30.0


class Workers:
    """Runs functions on daemon threads, which end when there is nothing to do.

    A `ThreadPoolExecutor` would wait at the end of the process for functions that wait themselves.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._idle = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()

    def submit(self, function: Callable[[], None]) -> Callable[[], bool]:
        """Run a function, which must not raise, when a thread is free.

        Returns a function that prevents it, and tells whether it could.

        Raises:
            RuntimeError: If no thread can be started.
        """
        with self._changed:
            self._waiting.append(function)
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._count < self._most:
                self._start_thread(function)
        return lambda: self._withdraw(function)

    def _start_thread(self, function: Callable[[], None]) -> None:
        self._count += 1
        try:
            threading.Thread(target=self._work, name="mcp-mount-task", daemon=True).start()
        except RuntimeError:
            # The system has no more threads: who asked hears of it, and nothing runs later.
            self._count -= 1
            self._waiting.remove(function)
            raise

    def _withdraw(self, function: Callable[[], None]) -> bool:
        with self._changed:
            try:
                self._waiting.remove(function)
            except ValueError:
                return False
            return True

    def _work(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except BaseException:
                logger.exception("A task ended its thread; others go on")
            # An idle thread keeps nothing alive.
            del function

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            found = self._changed.wait_for(lambda: self._waiting, _IDLE_SECONDS)
            self._idle -= 1
            if found:
                return self._waiting.popleft()
            self._count -= 1
            return None
