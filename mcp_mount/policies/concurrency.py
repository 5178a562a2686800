"""How many calls run at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow, Wait, proceed
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import PolicyKind
from mcp_mount.policies.values import instance_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import naming_options
from mcp_mount.schemas.values import seconds
from mcp_mount.wire.errors import CallRejected


class MaxConcurrency:
    """Limits how many calls run at a time in this process; others wait for their turn.

    What a call makes its handler call in turn runs within the turn of that call, one at a time, or
    in one that is free.

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
        incoming = call.incoming
        outer = incoming.turns or {}
        turns, turn = outer.get(self, self._turns).take()
        if turn is not None:
            yield from self._come(call, turns, turn)
        if call.group is not None:
            call.group.begun.add(self)
        # What it calls waits for nobody else: its own turn is passed on, to one at a time.
        own = _Turns(1, around=turns)
        incoming.turns = {**outer, self: own}
        assert call.tracker is not None, "a call with policies tells when its handler has ended"
        try:
            return (yield from proceed())
        finally:
            if not call.tracker.is_running:
                incoming.turns = outer
            # The handler may go on when nobody waits for it any more, and what it has called, too.
            call.tracker.when_idle(partial(own.close, turns.pass_on))

    def _come(self, call: Call, turns: _Turns, turn: Future[None]) -> Flow[None]:
        """Wait until a turn comes.

        Raises:
            CallRejected: If that takes too long.
        """
        try:
            try:
                yield Wait(turn, self._wait)
            except TimeoutError:
                if call.group is None or self not in call.group.begun:
                    raise CallRejected(
                        f"{call.name} is busy: try again in a few seconds",
                        status=503,
                        retry_after=1,
                    ) from None
                # Others have begun for the same answer, which is nothing without this one.
                yield Wait(turn)
        except BaseException:
            turns.leave(turn)
            raise


class _Turns:
    """Turns, first come, first served; for threads and event loops alike.

    Args:
        free: How many there are.
        around: Where else a turn may be free; it is waited for here.
    """

    def __init__(self, free: int, around: _Turns | None = None) -> None:
        self._free = free
        self._around = around
        self._is_closed = False
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    def take(self) -> tuple[_Turns, Future[None] | None]:
        """Take a turn that is free; else a future that is done when the turn has come.

        Returns:
            Whose turn it is, and the future.
        """
        one: _Turns | None = self
        while one is not None:
            if one._take_free():
                return one, None
            one = one._around
        one = self
        while one._is_closed and one._around is not None:
            one = one._around
        return one, one._wait()

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

    def close(self, then: Callable[[], None]) -> None:
        """Let nobody take the one turn that there is any more.

        Args:
            then: Called once whoever has it now, or waits for it already, has ended.
        """
        self._is_closed = True
        turn = self._wait()
        if turn is None:
            then()
        else:
            turn.add_done_callback(lambda _: then())

    def _take_free(self) -> bool:
        with self._lock:
            is_free = self._free > 0
            self._free -= is_free
            return is_free

    def _wait(self) -> Future[None] | None:
        """A future for the next turn; None if it has come already."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn: Future[None] = Future()
            self._waiting.append(turn)
            return turn


_limit: Final = instance_of(MaxConcurrency)


def _read(key: str, value: Any) -> list[MaxConcurrency]:
    limit = _limit(key, value)
    return [] if limit is None else [limit]


KIND: Final = PolicyKind(
    # Those of a tool, its routers and the server all hold, each with a count of its own.
    lambda levels: levels.all_of("max_concurrency"),
    {"max_concurrency": _read},
)
