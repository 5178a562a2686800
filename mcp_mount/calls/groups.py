"""Calls that answer one request together, such as one for several pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from mcp_mount.calls.flows import Flow, Wait

T = TypeVar("T")

GiveBack: TypeAlias = Callable[[Any], Flow[None]]


class CallGroup:
    """Calls that are admitted together: a policy that limits calls decides on all of them when the
    first one comes. Otherwise some would run, and be paid, whose answers are thrown away since a
    later one is refused.

    Args:
        calls: The calls, all of the same handler.

    Attributes:
        calls: The calls.
        begun: The policies, by their keys, that have let at least one of them run.
    """

    def __init__(self, calls: Sequence[Any]) -> None:
        self.calls = calls
        self.begun: set[Any] = set()
        self._decided: dict[Any, tuple[Future[dict[Any, Any]], GiveBack | None]] = {}
        self._lock = threading.Lock()
        for one in calls:
            one.group = self

    def share(
        self,
        call: Any,
        key: Any,
        decide: Callable[[Sequence[Any]], Flow[dict[Any, T]]],
        give_back: GiveBack | None = None,
    ) -> Flow[T | None]:
        """What a policy has decided for a call, together with all others.

        Args:
            call: The call.
            key: Names the policy.
            decide: Decides for all calls; what it raises ends each of them.
            give_back: What is to be done with a decision for a call that never asks for it.

        Returns:
            The decision for the call; None if it has had it before, since it runs once more.
        """
        own: Future[dict[Any, T]] = Future()
        with self._lock:
            decided, _ = self._decided.setdefault(key, (own, give_back))
        if decided is not own:
            made: dict[Any, T] = yield Wait(decided)
        else:
            try:
                made = yield from decide(self.calls)
            except BaseException as error:
                shared = isinstance(error, Exception)
                own.set_exception(error if shared else RuntimeError("The request has ended"))
                # Perhaps nobody waits for it.
                own.exception()
                raise
            own.set_result(made)
        with self._lock:
            return made.pop(call, None)

    def end(self) -> Flow[None]:
        """Give back what was decided for calls that have not come so far."""
        for decided, give_back in self._decided.values():
            if give_back is None or not decided.done() or decided.exception() is not None:
                continue
            for left in decided.result().values():
                yield from give_back(left)
