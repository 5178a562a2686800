"""The models of a server: what is registered under a name, and how a caller finds it."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.features.prices import Pricing
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.llm.images import ImageBackend
from mcp_mount.llm.models import EmbeddingModel, Model, given_for, traits_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import suggestion
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.messages import Rule


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A chat model, a model of embeddings or an image backend, under its name.

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
        return given_for(self.model)

    @property
    def is_direct(self) -> bool:
        """Whether its calls are nothing but the model and its request: no rules, no policies, no
        limit of its own for bodies, no context."""
        return (
            traits_of(self.model).needs_only_request
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


def check_members(models: Mapping[str, RegisteredModel], tools: Collection[str]) -> None:
    """Check that the models that others ask by their names are there, and are others: those of
    routes, and those that have another name.

    Args:
        models: All models of a server.
        tools: The names of the tools that models may use.

    Raises:
        DefinitionError: For names that no model has, or none that answers conversations, and for
            models that ask themselves, be it by way of others, and for patterns of tools that no
            tool matches.
    """
    answering = {name: one for name, one in models.items() if one.answers}
    askers = {one.name: one for one in models.values()}
    problems = []
    for asker in askers.values():
        for name in _members(asker):
            if name in answering:
                continue
            what = "answers no conversations" if name in models else "is no model of this server"
            hint = suggestion(name, set(answering) - {asker.name})
            problems.append(f"the model {asker.name!r} asks {name!r}, which {what}; {hint}")
        for pattern in traits_of(asker.model).tool_patterns:
            if not any(fnmatchcase(name, pattern) for name in tools):
                hint = suggestion(pattern, [*tools, *_families(tools)])
                problems.append(
                    f"the model {asker.name!r} has tools=Tools({pattern!r}), which matches no tool "
                    f"of this server; {hint}"
                )
    problems += [
        f"the model {circle[0]!r} asks itself: {' → '.join([*circle, circle[0]])}"
        for circle in _circles(askers, answering)
    ]
    if problems:
        # In one line, since it goes to the log.
        ended = [one if one.endswith("?") else f"{one}." for one in problems[:-1]]
        raise DefinitionError(" Besides, ".join([*ended, problems[-1]]))


def _families(names: Collection[str]) -> set[str]:
    """The patterns of names that begin alike, such as "order_*"."""
    return {f"{begin}*" for name in names for begin in _BEGIN.findall(name)}


def _members(model: RegisteredModel) -> Sequence[str]:
    """The names of the models that a model may ask."""
    return traits_of(model.model).members


def _circles(
    askers: Mapping[str, RegisteredModel], known: Mapping[str, RegisteredModel]
) -> list[list[str]]:
    """The circles in which models ask one another, each once.

    Args:
        askers: All models, by their own names.
        known: Those that may be asked, by all names that they have.
    """
    found: dict[frozenset[str], list[str]] = {}
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> None:
        if name in path:
            circle = path[path.index(name) :]
            found.setdefault(frozenset(circle), circle)
        elif name not in done:
            for member in _members(askers[name]):
                if member in known:
                    follow(known[member].name, [*path, name])
            done.add(name)

    for name in askers:
        follow(name, [])
    return list(found.values())


_BEGIN: Final = re.compile(r"^[^._/-]+[._/-]")
_MAX_LISTED: Final = 20
_LONGEST_NAME: Final = 100
