"""How many calls run at a time."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, Wait, proceed
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import PolicyKind
from mcp_mount.policies.reading import instance_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import naming_options
from mcp_mount.schemas.values import seconds
from mcp_mount.wire.errors import CallRejected


class MaxConcurrency:
    """Limits how many calls run at a time in this process; others wait for their turn.

    Args:
        limit: How many calls run at a time.
        wait: How long a call waits, in seconds, before it is refused; 0 refuses it at once.

    Raises:
        DefinitionError: If the limit is not a number from 1 on, or the time is none.
    """

    @naming_options
    def __init__(self, limit: int, *, wait: float = 30.0) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise DefinitionError(f"max_concurrency is a number of calls from 1 on, not {limit!r}")
        self._wait = 0.0 if wait == 0 else seconds("wait", wait)
        self._turns = _Turns(limit)

    def flow(self, call: Call) -> Flow[Result]:
        if call.is_counted(self):
            return (yield from proceed())
        turn = self._turns.take()
        if turn is not None:
            try:
                yield Wait(turn, self._wait)
            except TimeoutError:
                self._turns.leave(turn)
                raise CallRejected(
                    f"{call.name} is busy: try again in a few seconds", status=503, retry_after=1
                ) from None
            except BaseException:
                self._turns.leave(turn)
                raise
        assert call.tracker is not None, "a call with policies tells when its handler has ended"
        try:
            return (yield from proceed())
        finally:
            # The handler may go on when nobody waits for it any more.
            call.tracker.when_idle(self._turns.pass_on)


class _Turns:
    """Turns, first come, first served; for threads and event loops alike."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    def take(self) -> Future[None] | None:
        """Take a turn that is free; else a future that is done when the turn has come."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn: Future[None] = Future()
            self._waiting.append(turn)
            return turn

    def pass_on(self) -> None:
        """End a turn."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            turn = self._waiting.popleft()
        turn.set_result(None)

    def leave(self, turn: Future[None]) -> None:
        """Give up waiting, or the turn that has come at that very moment."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        self.pass_on()


_limit: Final = instance_of(MaxConcurrency)


def _read(key: str, value: Any) -> list[MaxConcurrency]:
    limit = _limit(key, value)
    return [] if limit is None else [limit]


KIND: Final = PolicyKind(
    # Those of a tool, its routers and the server all hold, each with a count of its own.
    lambda levels: levels.all_of("max_concurrency"),
    {"max_concurrency": _read},
)
