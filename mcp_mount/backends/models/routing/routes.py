"""Routes: models that ask others of the server, and go on to the next where one does not answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, Final, TypeAlias

from mcp_mount.backends.models.routing.attempts import Attempts, begun_within
from mcp_mount.backends.models.routing.choices import Candidate, Choose, MemberOrder, Strategy
from mcp_mount.backends.models.routing.health import Breaker, health_of
from mcp_mount.backends.models.routing.held import HeldPieces
from mcp_mount.backends.models.routing.trials import Trials
from mcp_mount.calls.incoming import ServerHandlers
from mcp_mount.context.operations import complete, perform_async
from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Invocation, ModelTraits
from mcp_mount.schemas.functions import DefinitionError, refuse_what_answers_later
from mcp_mount.schemas.values import or_none, seconds, whole

RetryOn: TypeAlias = Collection[int] | Callable[[ModelError], bool]
"""HTTP statuses of `ModelError`, or a function of one."""

_LEAST_STATUS: Final = 400
_LARGEST_STATUS: Final = 599

_USUAL_BREAKER: Final = Breaker()


class Route(ModelTraits):
    """Asks other models of the server, by their names, until one answers.

    Members are asked for the same caller, within their own permissions and policies; one that this
    caller may not use, or that is throttled, is passed over. The next is asked as long as nothing
    of an answer has gone out. `ChatCompletion.model` names the model that has answered.

    Args:
        members: Names with their weights, a list of names, or one name. Of three requests two go to
            "a" with `{"a": 2, "b": 1}`; the other one comes next where the first does not answer.
        fallbacks: Names that are asked after all members, in this order.
        retries: How often a member is asked again, after a pause, before the next one is.
        retry_on: After which failures to ask again, or the next one: HTTP statuses, or a function
            of the `ModelError`. By default those that say so by `ModelError.again`; others are
            passed on at once.
        first_piece: After how many seconds without any piece of its answer a member is given up.
            Python cannot stop a plain function: under WSGI the next one is asked when it has ended.
        breaker: When a member is left alone for a while; None asks members however they do.
        choose: In which order the members are asked: by "weights", the "least_busy" first, or as a
            function says. It gets a `ModelChoice`, and returns a name or several; None for the
            weights. It may be a coroutine function.

    Raises:
        DefinitionError: For what is none of these.
    """

    is_async = True
    wants_context = True
    delegates = True

    def __init__(
        self,
        members: str | Sequence[str] | Mapping[str, float],
        *fallbacks: str,
        retries: int = 0,
        retry_on: RetryOn | None = None,
        first_piece: float | None = None,
        breaker: Breaker | None = _USUAL_BREAKER,
        choose: Strategy | Choose = "weights",
    ) -> None:
        self._weights = _weights_of(members)
        self._fallbacks = tuple(fallbacks)
        for name in self._fallbacks:
            if not isinstance(name, str) or not name:
                raise DefinitionError(f"a route has names of models, not {name!r}")
        self.members = (*self._weights, *self._fallbacks)
        if len(set(self.members)) < len(self.members):
            raise DefinitionError(f"a route has each model once, not {', '.join(self.members)}")
        self._retries: int = whole(0)("retries", retries)
        self._retry_on = _read_retry_on(retry_on)
        self._first_piece: float | None = or_none(seconds)("first_piece", first_piece)
        if breaker is not None and not isinstance(breaker, Breaker):
            raise DefinitionError(f"breaker is a Breaker or None, not {breaker!r}")
        self._breaker = breaker
        self._choosing = MemberOrder(choose)

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Ask one member after the other.

        Args:
            invocation: The request, and what takes the pieces of the answer.
        """
        attempts = Attempts(invocation.name, self._breaker, self._retries, self._retry_on)
        for one in await self._order(invocation):
            ask = partial(self._ask, invocation, one)
            completion = await attempts.ask(one, invocation, ask)
            if completion is not None:
                return completion
        raise attempts.failure()

    async def _order(self, invocation: Invocation) -> Sequence[Candidate]:
        """The members in the order in which they are asked."""
        incoming = invocation.incoming
        if incoming is None or incoming.handlers is None:
            raise RuntimeError("A route asks the models of a server, and there is none here")
        candidates = self._candidates(incoming.handlers, invocation.name)
        return await self._choosing.order(invocation.request, incoming.request, candidates)

    def _candidates(self, handlers: ServerHandlers, own_name: str) -> list[Candidate]:
        found, unknown = [], []
        for name in self.members:
            # A model may be registered after the route.
            model = handlers.model(name)
            if model is None:
                unknown.append(repr(name))
                continue
            health = health_of(handlers, model.name)
            weight = self._weights.get(name, 0.0)
            found.append(Candidate(name, weight, health, model.price, _trials_of(model)))
        if unknown:
            raise DefinitionError(
                f"the route {own_name!r} names {', '.join(unknown)}, which is no model of this "
                "server: register it, or correct the name"
            )
        return found

    async def _ask(
        self, invocation: Invocation, member: Candidate, held: HeldPieces
    ) -> ChatCompletion:
        """Ask a member; the whole of its answer."""
        wanted: dict[str, Any] = {"model": member.name}
        if self._first_piece is not None and not invocation.request.stream:
            # Otherwise nothing would come before the whole answer does.
            wanted |= {"stream": True, "stream_options": {"include_usage": True}}
        request = invocation.request.model_copy(update=wanted)
        answering = perform_async(complete(invocation.context, request, held))
        if self._first_piece is None:
            completion = await answering
        else:
            completion = await begun_within(self._first_piece, answering, held)
        if not held.has_begun:
            # It was kept from an earlier call, or has no pieces.
            for delta in completion.deltas():
                await held.put(delta)
        return completion


def _trials_of(model: Any) -> Trials | None:
    """The trials of a model that has rested, for all processes of its server."""
    environment = model.policies.environment
    if environment is None:
        return None
    return Trials(environment.store, f"trial:{environment.name()}:{model.name}")


def _weights_of(members: Any) -> dict[str, float]:
    """The weights of members, by their names.

    Raises:
        DefinitionError: If they are none.
    """
    if isinstance(members, str):
        members = [members]
    if not isinstance(members, Mapping):
        if not isinstance(members, Sequence):
            raise DefinitionError(
                'a route has members such as {"a": 3, "b": 1}, ["a", "b"] or "a", '
                f"not {members!r}"
            )
        if len({str(one) for one in members}) < len(members):
            raise DefinitionError(f"a route has each model once, not {members!r}")
        members = dict.fromkeys(members, 1)
    for name, weight in members.items():
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"a route has names of models, not {name!r}")
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < inf:
            raise DefinitionError(f"the weight of {name!r} is a number above 0, not {weight!r}")
    if not members:
        raise DefinitionError("a route has at least one member")
    return {name: float(weight) for name, weight in members.items()}


def _read_retry_on(retry_on: RetryOn | None) -> Callable[[ModelError], bool]:
    if retry_on is None:
        return lambda error: error.again
    if callable(retry_on):
        refuse_what_answers_later("retry_on=", retry_on)
        function = retry_on
        return lambda error: bool(function(error))
    statuses = [retry_on] if isinstance(retry_on, int) else retry_on
    if not isinstance(statuses, Collection) or not all(
        isinstance(one, int) and _LEAST_STATUS <= one <= _LARGEST_STATUS for one in statuses
    ):
        raise DefinitionError(
            f"retry_on is HTTP statuses such as [429, 503], or a function, not {retry_on!r}"
        )
    known = frozenset(statuses)
    return lambda error: error.status in known
