"""How often callers may call."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from mcp_mount.backends.stores import Store
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import Callers
from mcp_mount.calls.flows import Do, Flow, proceed
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import Levels, PolicyKind
from mcp_mount.policies.values import guarding
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError, refuse_what_answers_later
from mcp_mount.schemas.names import naming_options, refuse_unknown
from mcp_mount.schemas.values import text, whole
from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.errors import CallRejected

if TYPE_CHECKING:
    from limits import RateLimitItem

Strategy = Literal["moving-window", "fixed-window", "sliding-window-counter"]

Key = Literal["caller", "everyone"] | Callable[[Call], str | None]


class Throttle:
    """Limits how often callers may call. Needs the extra `throttle`.

    Args:
        rate: Such as "10/minute", or "100 per hour; 5 per second".
        key: Who shares a count. Each "caller" has one: by the server's `caller=`, the host's user,
            the subject of the access token, or else the address and the bearer token or key.
            "everyone" shares one. A function of the call returns the name of the count, or None for
            a call that is not counted.
        cost: How much a call counts: a number, or a function of the call that returns one, such as
            that of the pictures it asks for. 0 is not counted.
        strategy: A strategy of the library `limits`.
        name: The name of the count; by default that of the tool, router or server that declares it.

    Raises:
        DefinitionError: If an argument is not one of these.
    """

    @naming_options
    def __init__(
        self,
        rate: str,
        *,
        key: Key = "caller",
        cost: int | Callable[[Call], int] = 1,
        strategy: Strategy = "moving-window",
        name: str | None = None,
    ) -> None:
        with requires("throttle", "throttle="):
            from limits import parse_many
        try:
            self.rates: list[RateLimitItem] = parse_many(rate)
        except (ValueError, TypeError):
            raise DefinitionError(
                f"throttle is a rate such as '10/minute' or '5/second; 100/hour', not {rate!r}"
            ) from None
        if key not in ("caller", "everyone") and not callable(key):
            raise DefinitionError(f"key is 'caller', 'everyone' or a function, not {key!r}")
        if callable(key):
            refuse_what_answers_later("key=", key)
        refuse_unknown("a throttle has no strategy", [strategy], get_args(Strategy))
        self.key = key
        if callable(cost):
            refuse_what_answers_later("cost=", cost)
        else:
            whole(1)("cost", cost)
            for one in self.rates:
                if cost > one.amount:
                    raise DefinitionError(f"cost is {cost}: no call would ever be within {one}")
        self.cost = cost
        self.strategy = strategy
        self.name = None if name is None else text("name", name)


class Throttled:
    """A throttle at the place where it is declared.

    Args:
        throttle: The user's declaration.
        name: The name of its counts.
        store: Keeps the counts.
        callers: Tells callers apart.
    """

    admits = True

    def __init__(self, throttle: Throttle, name: str, store: Store, callers: Callers) -> None:
        self._callers = callers
        self._throttle = throttle
        self._name = throttle.name or name
        self._limits = store.limits(throttle.strategy)

    def flow(self, call: Call) -> Flow[Result]:
        if not call.is_counted(self._name):
            admitted = None
            if call.group is not None:
                admitted = yield from call.group.share(call, self, self._admit)
            if admitted is None:
                yield from self._admit([call])
        return (yield from proceed())

    def _admit(self, calls: Sequence[Call]) -> Flow[dict[Call, bool]]:
        """Count calls that are made together.

        Raises:
            CallRejected: If they come too often.
        """
        costs: dict[str, int] = {}
        for call in calls:
            key = self._key(call)
            cost = 0 if key is None else self._cost(call)
            if key is not None and cost:
                costs[key] = costs.get(key, 0) + cost
        for key, cost in costs.items():
            for rate in self._throttle.rates:
                if cost > rate.amount:
                    raise CallRejected(
                        f"{calls[0].name} counts {cost} for this request, and no more than {rate} "
                        "are allowed: ask for less",
                        status=400,
                    )
                wait = yield self._hit(rate, key, cost)
                if wait is not None:
                    seconds = max(1, math.ceil(wait))
                    raise CallRejected(
                        f"{calls[0].name} was called too often ({rate}): "
                        f"try again in {seconds} second{'s' if seconds > 1 else ''}",
                        status=429,
                        retry_after=seconds,
                    )
        return dict.fromkeys(calls, True)

    def _key(self, call: Call) -> str | None:
        key = self._throttle.key
        if key == "everyone":
            return "everyone"
        if key != "caller":
            assert callable(key)
            return answer_of(key, key(call))
        return self._callers.counted_as(call.incoming.request)

    def _cost(self, call: Call) -> int:
        """How much a call counts."""
        cost = self._throttle.cost
        if not callable(cost):
            return cost
        counted = answer_of(cost, cost(call))
        if isinstance(counted, bool) or not isinstance(counted, int) or counted < 0:
            raise TypeError(f"cost= must return a number from 0 on, not {counted!r}")
        return counted

    def _hit(self, rate: RateLimitItem, key: str, cost: int) -> Do[float | None]:
        """Count a call: in how many seconds it may come again if it comes too often, else None."""
        counted = (rate, self._name, key, cost)
        hit = partial(_hit, self._limits.limiter, *counted)
        awaited = self._limits.awaited_limiter
        return Do(hit, None if awaited is None else partial(_hit_awaited, awaited, *counted))


def _hit(limiter: Any, rate: RateLimitItem, name: str, key: str, cost: int) -> float | None:
    if limiter.hit(rate, name, key, cost=cost):
        return None
    reset: float = limiter.get_window_stats(rate, name, key).reset_time
    return reset - time.time()


async def _hit_awaited(
    limiter_of_loop: Callable[[], Awaitable[Any]],
    rate: RateLimitItem,
    name: str,
    key: str,
    cost: int,
) -> float | None:
    limiter = await limiter_of_loop()
    if await limiter.hit(rate, name, key, cost=cost):
        return None
    reset: float = (await limiter.get_window_stats(rate, name, key)).reset_time
    return reset - time.time()


def _read(key: str, value: Any) -> list[Throttle]:
    return [one if isinstance(one, Throttle) else Throttle(one) for one in guarding(key, value)]


def _throttled(levels: Levels) -> list[Throttled]:
    around = levels.environment
    return [
        Throttled(throttle, f"{around.name()}/{level}/{number}", around.store, around.callers)
        for level, throttles in levels.every("throttle")
        for number, throttle in enumerate(throttles)
    ]


KIND: Final = PolicyKind(_throttled, {"throttle": _read})
