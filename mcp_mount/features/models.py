"""Chat models: what is registered under a name, and the call of one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from pydantic_core import from_json

from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import HandlerCall
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.calls.results import Result
from mcp_mount.context.context import Context, SyncContext
from mcp_mount.features.metering import Meter, input_estimate
from mcp_mount.features.prices import Pricing, known_cost
from mcp_mount.features.reserving import Metered, metered
from mcp_mount.llm.answers import ChatCompletion, Usage, from_data, to_data
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.llm.images import ImageBackend
from mcp_mount.llm.models import Asking, EmbeddingModel, Model, Pieces, ReaderLeft
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import suggestion
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INVALID_PARAMS, CallRejected, ProtocolError
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.revisions import Revision

METHOD: Final = "chat/completions"
"""How logs, audits and call middleware name the method of a call."""


class ModelCall(Call):
    """A call of a chat model.

    Attributes:
        asked: What it is asked.
        model: The model, as it is registered.
        is_within_model: Whether another model asks it, for its own answer.
    """

    __slots__ = (
        "_completed",
        "_copy",
        "_given",
        "_meter",
        "asked",
        "is_route",
        "is_within_model",
        "model",
        "refusal",
    )

    def __init__(
        self,
        incoming: IncomingRequest,
        model: ChatModel,
        request: ChatRequest,
        pieces: Pieces,
    ) -> None:
        """Prepare a call.

        Args:
            incoming: The request that asks for it.
            model: The model.
            request: What it is asked.
            pieces: Takes the pieces of its answer.
        """
        self.model = model
        self.is_route = getattr(model.model, "is_route", False)
        own = self._own(incoming)
        self.asked = Asking(request, pieces, incoming=own, name=model.name)
        self.refusal: Exception | None = None
        self.is_within_model = bool(incoming.path) and incoming.method == METHOD
        self._completed: tuple[Result, ChatCompletion] | None = None
        self._meter: Meter | None = None
        policies = model.policies.chain
        kind = Context if model.model.is_async else SyncContext
        super().__init__(
            own,
            self._answer_async if model.model.is_async else self._answer,
            is_async=model.model.is_async,
            encode=self._encode_answer,
            recover=self._note_refusal,
            context=("context", kind) if model.model.wants_context else None,
            policies=policies,
            arguments=request.model_dump(exclude_unset=True) if policies else None,
            validate=self._take_arguments if policies else None,
        )
        self._given = self.arguments
        # Middleware may change members, and leave out what was not set.
        self._copy = deepcopy(self._given) if policies else None

    def _own(self, incoming: IncomingRequest) -> IncomingRequest:
        """The request of this call, within the one that asks for the model."""
        params = {"name": self.model.name}
        if incoming.method == METHOD and not (incoming.path or incoming.passing):
            # The client asks, and there is nothing else that the request is for.
            incoming.params = params
            return incoming
        return replace(
            incoming,
            method=METHOD,
            params=params,
            passed=incoming.passing,
            passing=incoming.passing if self.is_route else frozenset(),
        )

    def completion(self) -> ChatCompletion:
        """The answer, once the call has ended.

        Raises:
            Exception: What has ended it instead.
            Suspended: If the client must be asked first, which ends the outer call, too.
        """
        if self.result is None and self.failure is None and self.error is None:
            raise ModelError("The client has left", status=499)
        result = self.finish()
        if result.suspended is not None:
            raise result.suspended
        if self.refusal is not None:
            raise self.refusal
        if self._completed is not None and self._completed[0] is result:
            return self._completed[1]
        # It was kept from an earlier call, or made by call middleware.
        return from_data(from_json(b"{%b}" % result.members)["value"])

    def known_completion(self) -> ChatCompletion | None:
        """The answer of the model itself, if it has given one in this call."""
        return None if self._completed is None else self._completed[1]

    def used(self) -> tuple[Usage | None, float | None]:
        """The tokens and the cost of the answer, if they are known: of a route, its members have a
        cost each."""
        completion = self.known_completion()
        usage = None if completion is None else completion.usage
        rounds: Sequence[Usage | None] = self.asked.rounds or [usage]
        costs = [known_cost(self.model.price, one)[1] for one in rounds]
        known = [one for one in costs if one is not None]
        return usage, sum(known) if known else None

    def most(self, max_tokens: int) -> Usage:
        """How many tokens it takes, at most.

        Args:
            max_tokens: The longest answer, where the request does not say it.
        """
        request = self.asked.request
        written = (request.max_tokens or max_tokens) * request.n
        return Usage(input_estimate(request), written)

    def limit_answer(self, max_tokens: int) -> None:
        """Ask for no longer an answer, if the request does not limit it."""
        if self.asked.request.max_tokens is None:
            self.asked.request = self.asked.request.model_copy(update={"max_tokens": max_tokens})

    def _take_arguments(self, arguments: Mapping[str, Any]) -> HandlerCall:
        """Let the model be asked what call middleware has made of the request."""
        if arguments is not self._given or arguments != self._copy:
            self.asked.request = ChatRequest.model_validate(arguments)
        return (), {}

    def _answer(self, context: Any = None) -> Any:
        self.asked.context = context
        answer = partial(self.model.model.answer, self.asked)
        if self.incoming.spending is None:
            return answer()
        with self._metered() as asking:
            return asking.ask(answer, passes_on=self._passes_on)

    async def _answer_async(self, context: Any = None) -> Any:
        self.asked.context = context
        model: Any = self.model.model
        if self.incoming.spending is None:
            return await model.answer(self.asked)
        with self._metered() as asking:
            answer = partial(model.answer, self.asked)
            return await asking.ask_async(answer, passes_on=self._passes_on)

    @property
    def _passes_on(self) -> bool:
        """Whether others count what the answer takes: the members of a route that has no price of
        its own, and each round of a model with tools."""
        has_rounds = getattr(self.model.model, "has_rounds", False)
        return self.is_route and (has_rounds or self.model.price is None)

    @contextmanager
    def _metered(self) -> Iterator[Metered]:
        """Count the pieces of the answer, for one that has no end."""
        pieces = self.asked.pieces
        self._meter = self.asked.pieces = Meter(pieces)
        try:
            with metered(self, self.model.price) as asking:
                yield asking
        finally:
            self.asked.pieces = pieces

    def note_spending(self, asking: Metered) -> None:
        """Note what the answer has taken, also if it has no end."""
        if self._passes_on:
            return
        answer, own = asking.answer, asking.spending
        whole = ChatCompletion(answer) if isinstance(answer, str) else answer
        assert self._meter is not None, "it counts while the model is asked"
        used = self._meter.usage(self.asked.request, whole, is_cut=asking.is_cut)
        if self.is_route and whole is None and own.output_tokens:
            # What its members have taken.
            used = Usage(own.input_tokens, own.output_tokens)
        if used is not None:
            asking.note(used)

    def _encode_answer(self, value: Any, revision: Revision) -> Result:
        completion = ChatCompletion(value) if isinstance(value, str) else value
        if not isinstance(completion, ChatCompletion):
            raise TypeError(
                f"A model answers with a ChatCompletion, not {type(completion).__name__}"
            )
        # Only policies look at the result.
        data = encode(to_data(completion)) if self.policies else b"null"
        result = Result(b'"value":%b' % data)
        self._completed = result, completion
        return result

    def _note_refusal(self, call: Call, error: Exception) -> Result:
        self.refusal = error
        if not isinstance(error, ModelError | CallRejected | ReaderLeft):
            # The log has it from whoever answers.
            call.incoming.hooks.failed(call, error)
        return Result(b"", failed=True)


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A chat model under its name.

    Attributes:
        name: The name.
        model: What answers.
        description: What it is, for lists.
        rules: Who may see and ask it.
        policies: Wrap its calls.
        created: When it was registered, in seconds since 1970.
        embedding: What represents texts by vectors under this name.
        answers: Whether the model answers conversations.
        price: What it costs, if that is known.
        image: What draws pictures under this name.
        answers_any_name: Whether requests for names that there are not are its own.
    """

    name: str
    model: Model
    description: str | None = None
    rules: Sequence[Rule] = ()
    policies: Policies = NO_POLICIES
    created: int = field(default_factory=lambda: int(time.time()))
    embedding: EmbeddingModel | None = None
    answers: bool = True
    price: Pricing | None = None
    image: ImageBackend | None = None
    answers_any_name: bool = False

    @property
    def function(self) -> Any:
        """What the user has registered, for errors."""
        return getattr(self.model, "function", self.model)

    def card(self, name: str) -> dict[str, Any]:
        """The model as `GET /v1/models` lists it, under one of its names."""
        card = {"id": name, "object": "model", "created": self.created, "owned_by": "server"}
        return card if self.description is None else {**card, "description": self.description}


def model_call(
    models: Mapping[str, ChatModel],
    incoming: IncomingRequest,
    request: ChatRequest,
    pieces: Pieces,
    unnamed: Model | None = None,
) -> ModelCall:
    """The call of the model that a request names.

    Args:
        models: The models of a server, by their names.
        incoming: The request that asks for it.
        request: What the model is asked. One that names no model gets the first that its caller may
            ask.
        pieces: Takes the pieces of the answer.
        unnamed: A model that has no name, in place of the one that the request names.

    Raises:
        ModelError: 404 if there is no such model, or its caller may not know of it.
        ProtocolError: 401 or 403, if an access token with more scopes is missing.
    """
    name = request.model
    if unnamed is not None:
        # It is what stands behind the model that asks.
        own = models.get(str(incoming.params.get("name")))
        behind = ChatModel(
            name or ("" if own is None else own.name),
            unnamed,
            price=None if own is None else own.price,
        )
        return ModelCall(incoming, behind, request, pieces)
    known = models if name else {key: one for key, one in models.items() if one.answers}
    return ModelCall(incoming, named_model(known, incoming, name), request, pieces)


def named_model(
    models: Mapping[str, ChatModel], incoming: IncomingRequest, name: str | None
) -> ChatModel:
    """The model of a name, for a caller; without a name the first that the caller may ask.

    Raises:
        ModelError: 404 if there is no such model, or its caller may not know of it.
        ProtocolError: 401 or 403, if an access token with more scopes is missing.
    """
    if name is None:
        permitted = (one for one in models.values() if incoming.permits(one.rules))
        model = next(permitted, None)
    else:
        model = models.get(name)
    if model is None:
        raise unknown_model(models, incoming, name)
    unknown = ProtocolError(INVALID_PARAMS, "There is no such model")
    try:
        incoming.require(model.rules, unknown)
    except ProtocolError as error:
        if error is unknown:
            raise unknown_model(models, incoming, name) from None
        raise
    return model


def unknown_model(
    models: Mapping[str, ChatModel], incoming: IncomingRequest, name: str | None
) -> ModelError:
    """The error for a model that there is not, for a caller."""
    known = [key for key, one in models.items() if incoming.permits(one.rules)]
    listed = ", ".join(known[:_MAX_LISTED]) or "none"
    what = "There is no model" if name is None else f"Unknown model {name[:_LONGEST_NAME]!r}"
    return ModelRefused(
        f"{what}; known: {listed}", status=404, code="model_not_found", param="model", again=False
    )


def check_members(models: Mapping[str, ChatModel]) -> None:
    """Check that the models that others ask by their names are there: those of routes, and those
    that have another name.

    Args:
        models: All models of a server.

    Raises:
        DefinitionError: For names that no model has, or none that answers conversations.
    """
    answering = {name: one for name, one in models.items() if one.answers}
    problems = []
    for asker in {one.name: one for one in models.values()}.values():
        for name in getattr(asker.model, "members", ()):
            if name in answering:
                continue
            what = "answers no conversations" if name in models else "is no model of this server"
            hint = suggestion(name, set(answering) - {asker.name})
            problems.append(f"the model {asker.name!r} asks {name!r}, which {what}; {hint}")
    if problems:
        raise DefinitionError("\n".join(problems))


_MAX_LISTED: Final = 20
_LONGEST_NAME: Final = 100
