"""What a budget keeps free for one call: the worst case before, what it was after."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mcp_mount.backends.stores import Count, Store
from mcp_mount.calls.flows import Flow
from mcp_mount.calls.spending import Spending
from mcp_mount.policies.allowances import Allowance, utc_now
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.lasting import keep
from mcp_mount.transports.threads import PLAIN
from mcp_mount.wire.errors import CallRejected
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_NOT_SETTLED: Final = "The budget %s does not know what a call has used: what it reserved counts"


@dataclass(slots=True)
class Held:
    """What is reserved of one allowance.

    Attributes:
        allowance: The allowance.
        key: Of the count in the store.
        ttl: For how many seconds the count is kept.
        amount: How much is reserved.
    """

    allowance: Allowance
    key: str
    ttl: float
    amount: int


class Reserved:
    """A `Reservation` that counts in a store.

    Args:
        name: The name of the budget, for the log.
        store: Keeps the counts.
        held: What is reserved already.
        max_tokens: As of `Reservation`.
    """

    def __init__(
        self, name: str, store: Store, held: Sequence[Held], max_tokens: int | None
    ) -> None:
        self._name = name
        self._store = store
        self._held = held
        self._max_tokens = max_tokens
        self._spending = Spending()
        self._was_asked = True
        self._lock = threading.Lock()

    @property
    def max_tokens(self) -> int | None:
        """The longest answer of a model, where a request does not say it."""
        return self._max_tokens

    def counts(self, key: str) -> bool:
        """Whether it counts what its call and all within take.

        Args:
            key: Of the count in the store.
        """
        return any(one.key == key and one.allowance.unit != "requests" for one in self._held)

    def begin(self, outer: Spending | None) -> Spending:
        """The spending of the call, which begins; it needs what is reserved.

        Args:
            outer: That of the call around it.
        """
        units = {one.allowance.unit: one.amount for one in self._held}
        self._spending = Spending(outer, counts_money="USD" in units, reservation=self)
        self._spending.expect(units.get("tokens", 0), units.get("USD", 0))
        return self._spending

    def cover(self, name: str) -> Flow[None]:
        """Reserve what is missing for what is needed now.

        Args:
            name: What needs it, for the error.

        Raises:
            CallRejected: If there is not so much left.
        """
        with self._lock:
            missing = [(one, more) for one in self._held if (more := self._missing(one)) > 0]
            for one, more in missing:
                # At once: what begins at the same time needs its own besides.
                one.amount += more
        if not missing:
            return
        place: int | None = None
        try:
            place = yield self._store.count(
                [Count(one.key, more, one.ttl, one.allowance.amount) for one, more in missing]
            )
        finally:
            if place != -1:
                with self._lock:
                    for one, more in missing:
                        one.amount -= more
        if place != -1:
            assert place is not None, "the store has answered"
            one, more = missing[place]
            raise refusal(name, one.allowance, one.amount + more)

    def settle(self, *, was_asked: bool = True) -> Flow[None]:
        """Count what the call has taken in the end. A store that is away fails nothing: what was
        reserved counts then, which is the safe side.

        Args:
            was_asked: Whether it counts as a request.
        """
        if changes := self._settled(was_asked=was_asked):
            yield from self._count(changes)

    def settle_late(self) -> None:
        """Count what was used by something that has gone on after the call had ended; on an event
        loop without waiting for the store."""
        if not (changes := self._settled(was_asked=self._was_asked)):
            return
        flow = self._count(changes)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            follow(flow)
        else:
            keep(loop.create_task(follow_async(flow, PLAIN)))

    def _count(self, changes: Sequence[Count]) -> Flow[None]:
        try:
            yield self._store.count(changes)
        except Exception:
            logger.exception(_NOT_SETTLED, self._name)

    def _settled(self, *, was_asked: bool) -> list[Count]:
        """What is to be added to the counts: what the call has not taken is given back, but for
        what goes on."""
        with self._lock:
            self._was_asked = was_asked
            changes = []
            for one in self._held:
                change = self._missing(one)
                if change:
                    one.amount += change
                    changes.append(Count(one.key, change, one.ttl))
            return changes

    def _missing(self, one: Held) -> int:
        """What is needed of an allowance, above what is reserved."""
        if one.allowance.unit == "requests":
            return int(self._was_asked) - one.amount
        tokens, nanos = self._spending.needed()
        return (tokens if one.allowance.unit == "tokens" else nanos) - one.amount


def refusal(name: str, allowance: Allowance, amount: int) -> CallRejected:
    """The error for what a budget has not enough left for.

    Args:
        name: What needs it.
        allowance: Of the budget.
        amount: How much it needs.
    """
    if amount > allowance.amount:
        return CallRejected(
            f"{name} may take more for this request than the whole budget of {allowance.words}: "
            "limit the answer by max_tokens, or ask less",
            status=400,
        )
    wait = max(1, math.ceil(allowance.window(utc_now())[1]))
    return CallRejected(
        f"The budget of {allowance.words} has not enough left for {name}: try again in {wait} "
        f"second{'s' if wait > 1 else ''}",
        status=429,
        retry_after=wait,
    )
