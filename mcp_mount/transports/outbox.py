"""Steps that nobody waits for: what a server tells other processes, in order."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from mcp_mount.calls.backplane import BackplaneRefused, BackplaneUnavailable
from mcp_mount.calls.flows import Do, awaited
from mcp_mount.transports import background
from mcp_mount.transports.os_threads import native_sleep
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAX_STEPS: Final = 10_000
"""How many steps may wait; the oldest are dropped where the other end is too slow."""

_AGAIN_SECONDS: Final = 0.5
"""How long a step waits for a backplane that cannot be reached."""

_GIVEN_UP_SECONDS: Final = 300.0
"""For how long it is tried again."""

_ENDING_SECONDS: Final = 1.0
"""How long the end of a process waits for steps."""

_STEP_SECONDS: Final = 30.0
"""How long a step may take; those behind it are not held any longer."""


class Outbox:
    """Takes steps one after another, on the background loop. Safe to use from any thread.

    A step for which the backplane cannot be reached is taken again for some minutes. One that fails
    otherwise, or takes too long, is given up, which the log says; the next one follows. At the end
    of the process those that wait have a second.
    After a fork the steps that wait are those of the parent, which takes them.

    Args:
        step_seconds: How long a step may take.
        max_steps: How many may wait.
        on_dropped: Called when there is room again after steps were dropped.
    """

    def __init__(
        self,
        *,
        step_seconds: float = _STEP_SECONDS,
        max_steps: int = _MAX_STEPS,
        on_dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_dropped = on_dropped
        self._step_seconds = step_seconds
        self._max_steps = max_steps
        self._dropped = 0
        self._is_sending = self._is_unreachable = self._was_waited_for = False
        self._cancel: Callable[[], None] = lambda: None
        self._clear()
        _outboxes.add(self)
        # The background loop has stayed behind in the parent.
        after_fork(self._clear)

    def put(self, step: Do[Any]) -> None:
        """Have a step taken after those that came before, without waiting for it."""
        with self._lock:
            self._steps.append(step)
            is_first_dropped = False
            if len(self._steps) > self._max_steps:
                self._steps.popleft()
                self._dropped += 1
                is_first_dropped = self._dropped == 1
            must_start = not self._is_sending
            self._is_sending = True
        if is_first_dropped:
            logger.warning(
                "The backplane is too slow: %d messages to other processes wait, and the oldest "
                "are dropped",
                self._max_steps,
            )
        if must_start:
            outcome, self._cancel = background.spawn(self._send())
            outcome.add_done_callback(self._end)

    def finish(self, deadline: float) -> None:
        """Wait until all steps have been taken; once for a backplane that cannot be reached.

        Args:
            deadline: Until when, by `time.monotonic`.
        """
        while (
            self._is_sending
            and time.monotonic() < deadline
            and not (self._is_unreachable and self._was_waited_for)
        ):
            native_sleep(0.01)
        self._was_waited_for = True

    def give_up(self) -> None:
        """Take none of the steps that wait, nor again the one that is tried; without waiting."""
        with self._lock:
            self._steps.clear()
            self._dropped = 0
        self._cancel()

    @property
    def is_sending(self) -> bool:
        """Whether there are steps that have not been taken."""
        return self._is_sending

    async def _send(self) -> None:
        while True:
            with self._lock:
                step = self._steps.popleft() if self._steps else None
                dropped = 0
                if step is None:
                    self._is_sending = False
                    dropped, self._dropped = self._dropped, 0
            if dropped:
                logger.warning("%d messages to other processes were dropped", dropped)
                self._on_dropped()
            if step is None:
                return
            try:
                await self._take_again(step)
            except BackplaneUnavailable as error:
                logger.warning("A message to other processes was given up: %s", error)
            except Exception:
                logger.warning("A message to other processes was given up", exc_info=True)

    async def _take_again(self, step: Do[Any]) -> None:
        """Take a step, until the backplane can be reached; those behind it wait in their order.

        Raises:
            BackplaneUnavailable: If it cannot for long, or will never take it: otherwise that would
                hold all others for ever.
        """
        until = time.monotonic() + _GIVEN_UP_SECONDS
        while True:
            try:
                await self._take(step)
                self._is_unreachable = False
                return
            except BackplaneRefused:
                raise
            except BackplaneUnavailable:
                self._is_unreachable = True
                if time.monotonic() > until:
                    with self._lock:
                        self._dropped += 1
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _take(self, step: Do[Any]) -> None:
        """Take a step.

        Raises:
            Exception: If it fails, is cancelled by what it waits for, or takes too long.
        """
        taken: asyncio.Future[Any]
        if step.awaited is not None:
            taken = asyncio.ensure_future(awaited(step.awaited()))
        else:
            taken = asyncio.get_running_loop().run_in_executor(None, step.do)
        try:
            # Not `wait_for`, which takes the end of a step by CancelledError for its own.
            await asyncio.wait([taken], timeout=self._step_seconds)
            is_late = not taken.done()
        finally:
            # It does not go on by itself where this is given up; what blocks a thread does.
            taken.cancel()
        if is_late:
            raise TimeoutError(f"The backplane took more than {self._step_seconds} seconds")
        if taken.cancelled():
            raise RuntimeError("The operation of the backplane was cancelled")
        taken.result()

    def _end(self, outcome: Any) -> None:
        if outcome.cancelled() or outcome.exception() is not None:
            # The loop has ended: the next step starts another one.
            with self._lock:
                self._is_sending = False

    def _clear(self) -> None:
        # A signal handler may come in here while its thread is.
        self._lock = threading.RLock()
        self._steps: deque[Do[Any]] = deque()
        self._dropped = 0
        self._is_sending = self._is_unreachable = self._was_waited_for = False


_outboxes: WeakSet[Outbox] = WeakSet()


@atexit.register
def finish_all() -> None:
    """Wait a second for the steps of all servers of this process, which ends."""
    deadline = time.monotonic() + _ENDING_SECONDS
    for outbox in list(_outboxes):
        outbox.finish(deadline)
