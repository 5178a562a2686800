"""Steps that nobody waits for: what a server tells other processes, in order."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import Any, Final

from mcp_mount.calls.flows import Do
from mcp_mount.transports import background
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAX_STEPS: Final = 10_000
"""How many steps may wait; the oldest are dropped where the other end is too slow."""


class Outbox:
    """Takes steps one after another, on the background loop. Safe to use from any thread."""

    def __init__(self) -> None:
        # A signal handler may come in here while its thread is.
        self._lock = threading.RLock()
        self._steps: deque[Do[Any]] = deque(maxlen=_MAX_STEPS)
        self._sent_by: int | None = None

    def put(self, step: Do[Any]) -> None:
        """Have a step taken after those that came before, without waiting for it."""
        with self._lock:
            self._steps.append(step)
            if self._sent_by == os.getpid():
                return
            self._sent_by = os.getpid()
        outcome, _ = background.spawn(self._send())
        outcome.add_done_callback(self._end)

    async def _send(self) -> None:
        while True:
            with self._lock:
                if not self._steps:
                    self._sent_by = None
                    return
                step = self._steps.popleft()
            try:
                if step.awaited is not None:
                    await step.awaited()
                else:
                    await asyncio.get_running_loop().run_in_executor(None, step.do)
            except Exception:
                logger.warning("Other processes could not be told something", exc_info=True)

    def _end(self, outcome: Any) -> None:
        if outcome.cancelled() or outcome.exception() is not None:
            # The loop has ended: the next step starts another one.
            with self._lock:
                self._sent_by = None
