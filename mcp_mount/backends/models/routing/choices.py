"""In which order a route asks its members."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from mcp_mount.backends.models.routing.health import Health
from mcp_mount.backends.models.routing.trials import Trials
from mcp_mount.features.prices import Pricing
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.functions import DefinitionError, is_coroutine_function
from mcp_mount.transports.threads import run_in_thread
from mcp_mount.wire.messages import Request
from mcp_mount.wire.rules import Caller, caller_of

Strategy = Literal["weights", "least_busy"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that a route may ask.

    Attributes:
        name: Its name.
        weight: That of the route; 0 for a fallback.
        health: Its failures and its load.
        price: What it costs, if that is known.
        trials: Says which process may try it after it has rested; None for all.
    """

    name: str
    weight: float
    health: Health
    price: Pricing | None = None
    trials: Trials | None = None

    @property
    def busy(self) -> int:
        """How many requests of routes it is answering, in this process."""
        return self.health.busy

    @property
    def rest(self) -> float:
        """For how many seconds it is left alone, since it has failed; else 0."""
        return self.health.rest


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a function for `choose=` decides on.

    Attributes:
        request: What the route is asked.
        caller: Who asks.
        candidates: The models of the route, its fallbacks last.
    """

    request: ChatRequest
    caller: Caller
    candidates: Sequence[Candidate]


Choose: TypeAlias = Callable[[ModelChoice], Any]
"""Returns the name of the model to ask first, or several in their order; the fallbacks of the route
come after them. None leaves it to the weights."""


class MemberOrder:
    """The order of the members of one route, for one request after the other.

    Args:
        choose: As `Route` has it.

    Raises:
        DefinitionError: For a strategy that there is not.
    """

    def __init__(self, choose: Strategy | Choose) -> None:
        if not callable(choose) and choose not in get_args(Strategy):
            raise DefinitionError(
                f'choose is "weights", "least_busy" or a function of a ModelChoice, not {choose!r}'
            )
        self._choose = choose
        self._is_async = callable(choose) and is_coroutine_function(choose)
        self._turns: dict[str, float] = {}
        self._lock = threading.Lock()

    async def order(
        self, request: ChatRequest, asker: Request, candidates: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """The candidates in the order in which they are asked.

        Args:
            request: What the route is asked.
            asker: The HTTP request of its caller.
            candidates: All members, the fallbacks last.

        Raises:
            ValueError: If the user's function names others.
        """
        if callable(self._choose):
            choice = ModelChoice(request, caller_of(asker), candidates)
            chosen = await self._asked(self._choose, choice)
            if chosen is not None:
                return _named(chosen, candidates)
        weighted = self._by_turns([one for one in candidates if one.weight])
        if self._choose == "least_busy":
            weighted.sort(key=lambda one: one.busy / one.weight)
        return [*weighted, *(one for one in candidates if not one.weight)]

    async def _asked(self, choose: Choose, choice: ModelChoice) -> Any:
        if self._is_async:
            awaitable: Awaitable[Any] = choose(choice)
            return await awaitable
        # It may block.
        return await run_in_thread(partial(choose, choice))

    def _by_turns(self, members: list[Candidate]) -> list[Candidate]:
        """The members by their weights: smooth weighted round robin, as in nginx, which spreads
        the turns of each evenly."""
        if len(members) > 1:
            with self._lock:
                for one in members:
                    self._turns[one.name] = self._turns.get(one.name, 0.0) + one.weight
                turns = dict(self._turns)
                members.sort(key=lambda one: -turns[one.name])
                self._turns[members[0].name] -= sum(one.weight for one in members)
        return members


def _named(chosen: Any, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The candidates that a user's function has named, and the fallbacks after them."""
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    by_name = {one.name: one for one in candidates}
    unknown = [repr(name) for name in names if name not in by_name]
    if unknown:
        raise ValueError(
            f"choose= has returned {', '.join(unknown)}, which is no model of the route; it has "
            f"{', '.join(by_name)}"
        )
    fallbacks = [one.name for one in candidates if not one.weight]
    return [by_name[name] for name in dict.fromkeys([*names, *fallbacks])]
