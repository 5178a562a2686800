"""What is registered under the names of models, and how a caller finds it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.features.prices import Pricing
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.llm.images import ImageBackend
from mcp_mount.llm.models import EmbeddingModel, Model, given_for, traits_of
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.messages import Rule


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """What answers under a name: a chat model, a model of embeddings, one that is both, or an image
    backend.

    Attributes:
        name: The name.
        chat: What answers conversations.
        embedding: What represents texts by vectors.
        image: What draws pictures.
        description: What it is, for lists.
        rules: Who may see and ask it.
        policies: Wrap its calls.
        created: When it was registered, in seconds since 1970.
        price: What it costs, if that is known.
        answers_any_name: Whether requests for names that there are not are its own.
    """

    name: str
    chat: Model | None = None
    embedding: EmbeddingModel | None = None
    image: ImageBackend | None = None
    description: str | None = None
    rules: Sequence[Rule] = ()
    policies: Policies = NO_POLICIES
    created: int = field(default_factory=lambda: int(time.time()))
    price: Pricing | None = None
    answers_any_name: bool = False

    @property
    def function(self) -> Any:
        """What the user has registered, for errors."""
        answering = (self.chat, self.embedding, self.image)
        return given_for(next((one for one in answering if one is not None), None))

    @property
    def is_direct(self) -> bool:
        """Whether its chats are nothing but the model and its request: no rules, no policies, no
        limit of its own for bodies, no context."""
        return (
            traits_of(self.chat).needs_only_request
            and not self.rules
            and not self.policies.chain
            and self.policies.nearest("max_body_bytes", None) is None
        )

    def card(self, name: str) -> dict[str, Any]:
        """The model as `GET /v1/models` lists it, under one of its names."""
        card = {"id": name, "object": "model", "created": self.created, "owned_by": "server"}
        return card if self.description is None else {**card, "description": self.description}


def named_model(
    models: Mapping[str, RegisteredModel], incoming: IncomingRequest, name: str | None
) -> RegisteredModel:
    """The model of a name, for a caller; without a name the first that the caller may ask.

    Args:
        models: The models, by their names and aliases.
        incoming: The request of the caller.
        name: The name.

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
    models: Mapping[str, RegisteredModel], incoming: IncomingRequest, name: str | None
) -> ModelError:
    """The error for a model that there is not. It lists those that the caller may ask.

    Args:
        models: The models, by their names and aliases.
        incoming: The request of the caller.
        name: The name; None if the request has none.
    """
    known = [key for key, one in models.items() if incoming.permits(one.rules)]
    listed = ", ".join(known[:_MAX_LISTED]) or "none"
    what = "There is no model" if name is None else f"Unknown model {name[:_LONGEST_NAME]!r}"
    return ModelRefused(
        f"{what}; known: {listed}", status=404, code="model_not_found", param="model", again=False
    )


_MAX_LISTED: Final = 20
_LONGEST_NAME: Final = 100
