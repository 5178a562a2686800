"""How much callers may use up: tokens, money, requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from mcp_mount.backends.stores import Count, Store
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import Callers
from mcp_mount.calls.flows import Flow, Run, proceed
from mcp_mount.calls.results import Result
from mcp_mount.calls.spending import nanos_of
from mcp_mount.features.model_calls import ModelCall
from mcp_mount.features.models import RegisteredModel
from mcp_mount.features.prices import Pricing, budgeted_cost
from mcp_mount.features.reserving import DEFAULT_MAX_TOKENS
from mcp_mount.llm.answers import Usage
from mcp_mount.llm.errors import ModelRefused
from mcp_mount.llm.models import traits_of
from mcp_mount.policies.allowances import Allowance, allowances, utc_now
from mcp_mount.policies.kinds import Levels, PolicyKind, PolicyLevel
from mcp_mount.policies.reservations import Held, Reserved, refusal
from mcp_mount.policies.throttle import Key
from mcp_mount.policies.values import guarding
from mcp_mount.schemas.extras import MissingExtra
from mcp_mount.schemas.functions import DefinitionError, refuse_what_answers_later
from mcp_mount.schemas.values import text, whole
from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.errors import CallRejected

_LATE_SECONDS: Final = 3600.0
"""For how long the count of a window is kept after its end, for calls that end later."""

_OUT_OF_TIME: Final = 504


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
        max_tokens: int = DEFAULT_MAX_TOKENS,
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


@runtime_checkable
class HasLevels(Protocol):
    """The policies of an entry, by the levels that declare them."""

    levels: Sequence[PolicyLevel]


class Budgeted:
    """A budget at the place where it is declared.

    Args:
        budgets: What the user has declared under its name: the smallest limit of each window holds.
        name: The name of its counts.
        store: Keeps the counts.
        callers: Tells callers apart.
    """

    def __init__(
        self, budgets: Sequence[Budget], name: str, store: Store, callers: Callers
    ) -> None:
        self._declared_key = budgets[0].key
        self._allowances = _smallest(one for budget in budgets for one in budget.allowances)
        self._max_tokens = min(one.max_tokens for one in budgets)
        self._limits_answers = any(one.limits_answers for one in budgets)
        self._is_of_money = any(one.is_of_money for one in budgets)
        self._name = name
        self._store = store
        self._callers = callers

    def flow(self, call: Call) -> Flow[Result]:
        reserved = yield from self._reserved(call)
        if reserved is None:
            return (yield from proceed())
        incoming = call.incoming
        outer = incoming.spending
        spent = incoming.spending = reserved.begin(outer)
        was_asked = True
        try:
            return (yield from proceed())
        except CallRejected as error:
            was_asked = error.status == _OUT_OF_TIME
            raise
        except ModelRefused:
            # A route, or a tool that only asks a model, is for nothing else.
            was_asked = not call.delegates
            raise
        finally:
            assert call.tracker is not None, "a call with policies tells when its handler has ended"
            if not call.tracker.is_running:
                incoming.spending = outer
            # Else its time is over, but it goes on: what it still takes counts here.
            spent.end()
            yield from reserved.settle(was_asked=was_asked)

    def _reserved(self, call: Call) -> Flow[Reserved | None]:
        """Reserve what a call may take at most; None if it is not counted here.

        Raises:
            CallRejected: If there is not so much left.
        """
        if call.is_counted((Budget, self._name)):
            return None
        if call.group is not None:
            give_back = partial(Reserved.settle, was_asked=False)
            reserved = yield from call.group.share(call, self, self._reserve, give_back)
            if reserved is not None:
                return reserved
        return (yield from self._reserve([call])).get(call)

    def _reserve(self, calls: Sequence[Call]) -> Flow[dict[Call, Reserved]]:
        """Reserve what calls may take at most, in one step."""
        held: dict[Call, list[Held]] = {}
        counted: list[Held] = []
        for call in calls:
            key = self._key(call)
            if key is not None:
                most = yield from self._worst_case(call, key)
                around = _counted_around(call, most)
                counted += [one for one in most if one.key in around]
                held[call] = [one for one in most if one.key not in around]
        sums = _sums(one for several in held.values() for one in several)
        # What a tool will ask is not known yet: it begins as long as something is left. A model
        # that costs nothing is there even when all money is spent.
        least = 0 if calls[0].delegates or _asks_model(calls[0]) else 1
        asked = [one for one in sums if one.amount or least]
        counts = [
            Count(one.key, one.amount, one.ttl, one.allowance.amount - (0 if one.amount else 1))
            for one in asked
        ]
        for one in _sums(counted):
            # What is around reserves it, by its own limit: see `Metered`.
            asked.append(one)
            counts.append(Count(one.key, 0, one.ttl, one.allowance.amount - one.amount))
        place = (yield self._store.count(counts)) if counts else -1
        if place >= 0:
            one = asked[place]
            raise refusal(calls[0].name, one.allowance, one.amount)
        limit = self._max_tokens if self._limits_answers else None
        return {call: Reserved(self._name, self._store, one, limit) for call, one in held.items()}

    def _worst_case(self, call: Call, key: str) -> Flow[list[Held]]:
        """What a call may take at most, of each allowance."""
        most = Usage()
        if _asks_model(call):
            if self._limits_answers:
                call.limit_answer(self._max_tokens)
            most = call.most(self._max_tokens)
        cost = 0.0
        if self._is_of_money:
            cost = yield from _highest_cost(call, most)
        now = utc_now()
        held = []
        for one in self._allowances:
            window, left = one.window(now)
            # In braces, by which a cluster keeps all counts of a budget together.
            kept = f"{{budget:{self._name}}}:{one.unit}:{one.period}:{window}:{key}"
            held.append(Held(one, kept, left + _LATE_SECONDS, _amount(one, most, cost)))
        return held

    def _key(self, call: Call) -> str | None:
        key = self._declared_key
        if key == "everyone":
            return "everyone"
        if key != "caller":
            assert callable(key)
            return answer_of(key, key(call))
        return self._callers.counted_as(call.incoming.request)


def _smallest(declared: Iterable[Allowance]) -> list[Allowance]:
    """The smallest allowance of each unit and window: they have one count."""
    found: dict[tuple[str, str], Allowance] = {}
    for one in declared:
        known = found.setdefault((one.unit, one.period), one)
        if one.amount < known.amount:
            found[one.unit, one.period] = one
    return list(found.values())


def _counted_around(call: Call, most: Sequence[Held]) -> set[str]:
    """The keys of counts that a budget around another call counts, which makes this one."""
    spending = call.incoming.spending
    around = [] if spending is None else spending.reservations(with_own=True)
    return {
        held.key
        for held in most
        if any(isinstance(one, Reserved) and one.counts(held.key) for one in around)
    }


def _sums(held: Iterable[Held]) -> list[Held]:
    """What is reserved of each count, by several calls."""
    sums: dict[str, Held] = {}
    for one in held:
        known = sums.setdefault(one.key, replace(one, amount=0))
        known.amount += one.amount
    return list(sums.values())


def _asks_model(call: Call) -> TypeGuard[ModelCall[Any]]:
    return isinstance(call, ModelCall)


def _amount(allowance: Allowance, usage: Usage, cost: float) -> int:
    if allowance.unit == "requests":
        return 1
    if allowance.unit == "tokens":
        return usage.input_tokens + usage.output_tokens
    return nanos_of(cost)


def _highest_cost(call: Call, most: Usage) -> Flow[float]:
    """What a call costs at most, by the price of the dearest model that may answer it."""
    if not _asks_model(call):
        return 0.0
    handlers: Any = call.incoming.handlers
    prices = list(_prices(call.model, handlers.model, set()))
    if not all(one.is_at_hand for _, one in prices):
        # The table is read, once: that takes a while.
        costs: list[float] = yield Run(
            lambda: [budgeted_cost(name, one, most) for name, one in prices]
        )
    else:
        costs = [budgeted_cost(name, one, most) for name, one in prices]
    return max(costs, default=0.0)


def _prices(
    model: RegisteredModel, find: Callable[[str], RegisteredModel | None], seen: set[str]
) -> Iterator[tuple[str, Pricing]]:
    """The prices of a model, or of those that it may ask, with their names.

    Args:
        model: The model.
        find: Finds another one by its name.
        seen: The names of those that have come already.
    """
    if model.name in seen:
        return
    seen.add(model.name)
    if model.price is not None:
        yield model.name, model.price
        return
    for name in traits_of(model.chat).members:
        member = find(name)
        if member is not None:
            yield from _prices(member, find, seen)


def _read(key: str, value: Any) -> list[Budget]:
    return [one if isinstance(one, Budget) else Budget(one) for one in guarding(key, value)]


def _budgets(levels: Levels) -> list[Budgeted]:
    around = levels.environment
    declared: dict[tuple[str, Any], list[Budget]] = {}
    for level, budgets in levels.every("budget"):
        for number, budget in enumerate(budgets):
            name = budget.name or f"{around.name()}/{level}/{number}"
            # Those of one name have one count: each would add the same to it.
            declared.setdefault((name, budget.key), []).append(budget)
    return [
        Budgeted(budgets, name, around.store, around.callers)
        for (name, _), budgets in declared.items()
    ]


def check_budgets(models: Mapping[str, RegisteredModel]) -> None:
    """Check that the price of each model is known that a budget of money is declared around, and of
    those that such a model may ask.

    Args:
        models: All models of a server, by their names.

    Raises:
        DefinitionError: If it is not.
    """
    for name, one in {one.name: one for one in models.values()}.items():
        policies = one.policies
        levels = policies.levels if isinstance(policies, HasLevels) else ()
        budgets: list[Budget] = Levels(levels).all_of("budget")
        if not any(budget.is_of_money for budget in budgets):
            continue
        try:
            for _, price in _prices(one, models.get, set()):
                price.cost(Usage())
        except (DefinitionError, MissingExtra) as error:
            raise DefinitionError(
                f"the budget of the model {name!r} cannot be kept: {error}"
            ) from None


KIND: Final = PolicyKind(_budgets, {"budget": _read})
