"""How much callers may use up: tokens, money, requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from mcp_mount.backends.stores import Count, Store
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import Callers
from mcp_mount.calls.flows import Flow, Run, proceed
from mcp_mount.calls.results import Result
from mcp_mount.calls.spending import Spending
from mcp_mount.features.embeddings import EmbeddingCall
from mcp_mount.features.images import ImageCall
from mcp_mount.features.models import ChatModel, ModelCall
from mcp_mount.features.prices import Pricing
from mcp_mount.llm.answers import Usage
from mcp_mount.policies.kinds import Levels, PolicyKind
from mcp_mount.policies.reading import guarding
from mcp_mount.policies.throttle import Key
from mcp_mount.policies.windows import NANO, Allowance, allowances, utc_now
from mcp_mount.schemas.functions import DefinitionError, refuse_what_answers_later
from mcp_mount.schemas.values import text, whole
from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.errors import CallRejected
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_LATE_SECONDS: Final = 3600.0
"""For how long the count of a window is kept after its end, for calls that end later."""

_OUT_OF_TIME: Final = 504

_NOT_SETTLED: Final = "The budget %s does not know what a call has used: what it reserved counts"


class Budget:
    """Limits how much callers may use up: what models take for them, and how often they are asked.

    A call reserves the most that it may take before it runs; what it did not take is given back
    when it has ended. Windows begin at full minutes, hours, days, weeks (on Monday) and months, by
    UTC. Counts are in the server's `store=`.

    Args:
        limit: Such as "5 USD/day", "100000 tokens/day" or "1000 requests/hour"; several with ";".
        key: Who shares a count: each "caller" has one, "everyone" shares one, or as a function of
            the call says; None from it for a call that is not counted.
        max_tokens: The longest answer, where the request does not limit it and tokens or money are
            counted: so many are reserved, and asked for at most.
        name: The name of the count; by default that of the model, tool, router or server that
            declares it.

    Raises:
        DefinitionError: If an argument is not one of these.
    """

    def __init__(
        self,
        limit: str,
        *,
        key: Key = "caller",
        max_tokens: int = 4096,
        name: str | None = None,
    ) -> None:
        self.allowances = allowances(limit)
        if key not in ("caller", "everyone") and not callable(key):
            raise DefinitionError(f"key is 'caller', 'everyone' or a function, not {key!r}")
        if callable(key):
            refuse_what_answers_later("key=", key)
        self.key = key
        self.max_tokens: int = whole(1)("max_tokens", max_tokens)
        self.name = None if name is None else text("name", name)

    @property
    def limits_answers(self) -> bool:
        """Whether what it counts depends on how long answers are."""
        return any(one.unit != "requests" for one in self.allowances)

    @property
    def is_of_money(self) -> bool:
        """Whether it asks what calls cost."""
        return any(one.unit == "USD" for one in self.allowances)


class Budgeted:
    """A budget at the place where it is declared.

    Args:
        budget: The user's declaration.
        name: The name of its counts.
        store: Keeps the counts.
        callers: Tells callers apart.
    """

    def __init__(self, budget: Budget, name: str, store: Store, callers: Callers) -> None:
        self._budget = budget
        self._name = budget.name or name
        self._store = store
        self._callers = callers

    def flow(self, call: Call) -> Flow[Result]:
        key = None if call.is_counted((Budget, self._name)) else self._key(call)
        if key is None:
            return (yield from proceed())
        reserved = yield from self._reserved(call, key)
        outer = call.incoming.spending
        spent = Spending(outer, counts_money=self._budget.is_of_money)
        call.incoming.spending = spent
        was_asked = True
        try:
            return (yield from proceed())
        except CallRejected as error:
            was_asked = error.status == _OUT_OF_TIME
            raise
        finally:
            call.incoming.spending = outer
            settle = partial(self._settled, reserved, spent, was_asked=was_asked)
            assert call.tracker is not None, "a call with policies tells when its handler has ended"
            if call.tracker.is_running:
                # Its time is over, but it goes on.
                call.tracker.when_idle(partial(self._settle_late, settle))
            elif counts := settle():
                try:
                    yield self._store.count(counts)
                except Exception:
                    # The model has answered: what stays reserved is on the safe side.
                    logger.exception(_NOT_SETTLED, self._name)

    def _reserved(self, call: Call, key: str) -> Flow[Sequence[tuple[Allowance, Count]]]:
        """Reserve what a call may take at most.

        Raises:
            CallRejected: If there is not so much left.
        """
        most = Usage()
        if isinstance(call, ModelCall | EmbeddingCall):
            if isinstance(call, ModelCall) and self._budget.limits_answers:
                call.limit_answer(self._budget.max_tokens)
            most = call.most(self._budget.max_tokens)
        cost = 0.0
        if self._budget.is_of_money:
            cost = yield from _highest_cost(call, most)
        now = utc_now()
        reserved = []
        for one in self._budget.allowances:
            amount = _amount(one, most, cost)
            if one.unit == "tokens" or not isinstance(call, ModelCall | EmbeddingCall | ImageCall):
                # What a tool or a picture takes is not known yet: it begins as long as something
                # is left.
                amount = max(1, amount)
            window, left = one.window(now)
            kept = f"budget:{self._name}:{one.unit}:{one.period}:{window}:{key}"
            reserved.append((one, Count(kept, amount, left + _LATE_SECONDS, one.amount)))
        # A model that costs nothing is there even when all money is spent.
        reserved = [(one, count) for one, count in reserved if count.amount]
        place = yield self._store.count([count for _, count in reserved])
        if place >= 0:
            allowance, count = reserved[place]
            raise _refusal(call.name, allowance, count.amount, allowance.window(utc_now())[1])
        return reserved

    @staticmethod
    def _settled(
        reserved: Sequence[tuple[Allowance, Count]], spent: Spending, *, was_asked: bool
    ) -> list[Count]:
        """What is to be added to the counts, now that it is known what a call has taken."""
        used = Usage(spent.input_tokens, spent.output_tokens)
        found = []
        for one, count in reserved:
            amount = int(was_asked) if one.unit == "requests" else _amount(one, used, spent.cost)
            if amount != count.amount:
                found.append(Count(count.key, amount - count.amount, count.ttl))
        return found

    def _settle_late(self, settle: Any) -> None:
        try:
            if counts := settle():
                self._store.count(counts).do()
        except Exception:
            logger.exception(_NOT_SETTLED, self._name)

    def _key(self, call: Call) -> str | None:
        key = self._budget.key
        if key == "everyone":
            return "everyone"
        if key != "caller":
            assert callable(key)
            return answer_of(key, key(call))
        return self._callers.counted_as(call.incoming.request)


def _amount(allowance: Allowance, usage: Usage, cost: float) -> int:
    if allowance.unit == "requests":
        return 1
    if allowance.unit == "tokens":
        return usage.input_tokens + usage.output_tokens
    return math.ceil(cost * NANO)


def _refusal(name: str, allowance: Allowance, amount: int, seconds: float) -> CallRejected:
    if amount > allowance.amount:
        return CallRejected(
            f"{name} may take more for this request than the whole budget of {allowance.words}: "
            "limit the answer by max_tokens, or ask less",
            status=400,
        )
    wait = max(1, math.ceil(seconds))
    return CallRejected(
        f"The budget of {allowance.words} has not enough left for {name}: try again in {wait} "
        f"second{'s' if wait > 1 else ''}",
        status=429,
        retry_after=wait,
    )


def _highest_cost(call: Call, most: Usage) -> Flow[float]:
    """What a call costs at most, by the price of the dearest model that may answer it."""
    if not isinstance(call, ModelCall | EmbeddingCall | ImageCall):
        return 0.0
    prices = list(_prices(call.model, call.incoming.handlers, set()))
    if not all(one.is_at_hand for one in prices):
        # The table is read, once: that takes a while.
        costs: list[float] = yield Run(lambda: [one.cost(most) for one in prices])
    else:
        costs = [one.cost(most) for one in prices]
    return max(costs, default=0.0)


def _prices(model: ChatModel, handlers: Any, seen: set[str]) -> Iterator[Pricing]:
    """The prices of a model, or of those that it may ask."""
    if model.name in seen:
        return
    seen.add(model.name)
    if model.price is not None:
        yield model.price
        return
    names: Sequence[str] = getattr(model.model, "members", ())
    if not names:
        _warn_of_no_price(model.name)
    for name in names:
        member = handlers.model(name)
        if member is not None:
            yield from _prices(member, handlers, seen)


def _warn_of_no_price(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        logger.warning(
            "The model %r has no price, so it costs nothing in budgets of money: declare price=",
            name,
        )


_warned: Final[set[str]] = set()


def _read(key: str, value: Any) -> list[Budget]:
    return [one if isinstance(one, Budget) else Budget(one) for one in guarding(key, value)]


def _budgets(levels: Levels) -> list[Budgeted]:
    around = levels.environment
    return [
        Budgeted(budget, f"{around.name()}/{level}/{number}", around.store, around.callers)
        for level, budgets in levels.every("budget")
        for number, budget in enumerate(budgets)
    ]


KIND: Final = PolicyKind(_budgets, {"budget": _read})
