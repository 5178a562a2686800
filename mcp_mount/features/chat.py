"""The call of a chat model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mcp_mount.calls.catalogue import HandlerCall
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.context.context import Context, SyncContext
from mcp_mount.features.metering import Meter, input_estimate
from mcp_mount.features.model_calls import ModelCall
from mcp_mount.features.models import RegisteredModel, named_model
from mcp_mount.features.prices import known_cost
from mcp_mount.features.reserving import Metered, metered
from mcp_mount.llm.answers import ChatCompletion, Usage, from_data, to_data
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Invocation, Model, Pieces, traits_of
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.revisions import Revision

METHOD: Final = "chat/completions"
"""How logs, audits and call middleware name the method of a call."""


class ChatCall(ModelCall[ChatCompletion]):
    """A call of a chat model.

    Attributes:
        invocation: What it is asked.
        is_within_model: Whether another model asks it, for its own answer.
    """

    __slots__ = (
        "_copy",
        "_given",
        "_meter",
        "delegates",
        "invocation",
        "is_within_model",
    )

    def __init__(
        self,
        incoming: IncomingRequest,
        model: RegisteredModel,
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
        assert model.chat is not None, "only such models are called"
        chat = model.chat
        self.delegates = traits_of(chat).delegates
        own = self._own(incoming, model)
        self.invocation = Invocation(request, pieces, incoming=own, name=model.name)
        self.is_within_model = bool(incoming.path) and incoming.method == METHOD
        self._meter: Meter | None = None
        policies = model.policies.chain
        kind = Context if chat.is_async else SyncContext
        super().__init__(
            own,
            model,
            self._answer_async if chat.is_async else self._answer,
            is_async=chat.is_async,
            encode=self._encode_answer,
            context=("context", kind) if chat.wants_context else None,
            arguments=request.model_dump(exclude_unset=True) if policies else None,
            validate=self._take_arguments if policies else None,
        )
        self._given = self.arguments
        # Middleware may change members, and leave out what was not set.
        self._copy = deepcopy(self._given) if policies else None

    def _own(self, incoming: IncomingRequest, model: RegisteredModel) -> IncomingRequest:
        """The request of this call, within the one that asks for the model."""
        params = {"name": model.name}
        if incoming.method == METHOD and not (incoming.path or incoming.passing):
            # The client asks, and there is nothing else that the request is for.
            incoming.params = params
            return incoming
        return replace(
            incoming,
            method=METHOD,
            params=params,
            passed=incoming.passing,
            passing=incoming.passing if self.delegates else frozenset(),
        )

    def used(self) -> tuple[Usage | None, float | None]:
        """The tokens and the cost of the answer, if they are known: of a route, its members have a
        cost each."""
        completion = self.known_answer()
        usage = None if completion is None else completion.usage
        rounds: Sequence[Usage | None] = self.invocation.rounds or [usage]
        costs = [known_cost(self.model.price, one)[1] for one in rounds]
        known = [one for one in costs if one is not None]
        return usage, sum(known) if known else None

    def most(self, max_tokens: int) -> Usage:
        """How many tokens it takes, at most.

        Args:
            max_tokens: The longest answer, where the request does not say it.
        """
        request = self.invocation.request
        written = (request.max_tokens or max_tokens) * request.n
        return Usage(input_estimate(request), written)

    def limit_answer(self, max_tokens: int) -> None:
        """Ask for no longer an answer, if the request does not limit it."""
        if self.invocation.request.max_tokens is None:
            self.invocation.request = self.invocation.request.model_copy(
                update={"max_tokens": max_tokens}
            )

    def _take_arguments(self, arguments: Mapping[str, Any]) -> HandlerCall:
        """Let the model be asked what call middleware has made of the request."""
        if arguments is not self._given or arguments != self._copy:
            self.invocation.request = ChatRequest.model_validate(arguments)
        return (), {}

    def _answer(self, context: Any = None) -> Any:
        self.invocation.context = context
        model: Any = self.model.chat
        answer = partial(model.answer, self.invocation)
        if self.incoming.spending is None:
            return answer()
        with self._metered() as metering:
            return metering.ask(answer, passes_on=self._passes_on)

    async def _answer_async(self, context: Any = None) -> Any:
        self.invocation.context = context
        model: Any = self.model.chat
        if self.incoming.spending is None:
            return await model.answer(self.invocation)
        with self._metered() as metering:
            answer = partial(model.answer, self.invocation)
            return await metering.ask_async(answer, passes_on=self._passes_on)

    @property
    def _passes_on(self) -> bool:
        """Whether others count what the answer takes: the members of a route that has no price of
        its own, and each round of a model with tools."""
        has_rounds = traits_of(self.model.chat).has_rounds
        return self.delegates and (has_rounds or self.model.price is None)

    @contextmanager
    def _metered(self) -> Iterator[Metered]:
        """Count the pieces of the answer, for one that has no end."""
        pieces = self.invocation.pieces
        self._meter = self.invocation.pieces = Meter(pieces)
        try:
            with metered(self, self.model.price) as metering:
                yield metering
        finally:
            self.invocation.pieces = pieces

    def note_spending(self, metering: Metered) -> None:
        """Note what the answer has taken, also if it has no end."""
        if self._passes_on:
            return
        answer, own = metering.answer, metering.spending
        whole = ChatCompletion(answer) if isinstance(answer, str) else answer
        assert self._meter is not None, "it counts while the model is asked"
        used = self._meter.usage(self.invocation.request, whole, is_cut=metering.is_cut)
        if self.delegates and whole is None and own.output_tokens:
            # What its members have taken.
            used = Usage(own.input_tokens, own.output_tokens)
        if used is not None:
            metering.note(used)

    def _encode_answer(self, value: Any, revision: Revision) -> Result:
        completion = ChatCompletion(value) if isinstance(value, str) else value
        if not isinstance(completion, ChatCompletion):
            raise TypeError(
                f"A model answers with a ChatCompletion, not {type(completion).__name__}"
            )
        # Only policies look at the result.
        data = encode(to_data(completion)) if self.policies else b"null"
        return self._keep(completion, data)

    def _answer_in(self, value: Any) -> ChatCompletion:
        return from_data(value)


def model_call(
    models: Mapping[str, RegisteredModel],
    incoming: IncomingRequest,
    request: ChatRequest,
    pieces: Pieces,
    unnamed: Model | None = None,
) -> ChatCall:
    """The call of the model that a request names.

    Args:
        models: The models of a server, by their names.
        incoming: The request that asks for it.
        request: What the model is asked. One that names no model gets the first that its caller may
            ask.
        pieces: Takes the pieces of the answer.
        unnamed: A model that has no name, in place of the one that the request names.

    Raises:
        ModelError: 404 if there is no such model, or its caller may not know of it; 400 if it is of
            another kind.
        ProtocolError: 401 or 403, if an access token with more scopes is missing.
    """
    name = request.model
    if unnamed is not None:
        # It is what stands behind the model that asks.
        own = models.get(str(incoming.params.get("name")))
        behind = RegisteredModel(
            name or ("" if own is None else own.name),
            unnamed,
            price=None if own is None else own.price,
        )
        return ChatCall(incoming, behind, request, pieces)
    chats = models if name else {key: one for key, one in models.items() if one.chat is not None}
    model = named_model(chats, incoming, name)
    if model.chat is None:
        raise ModelError(
            f"The model {model.name!r} answers no conversations",
            status=400,
            param="model",
            again=False,
        )
    return ChatCall(incoming, model, request, pieces)
