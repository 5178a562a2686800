"""Telling apart what users give to `add_model`: a function, a name, an agent, a model itself."""

from __future__ import annotations

from typing import Any, Protocol

from mcp_mount.backends.models.adapters.functions import FunctionModel
from mcp_mount.backends.models.routing.named import NamedModel
from mcp_mount.llm.models import EmbeddingModel, Model
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import kind_of


class AgentObject(Protocol):
    """An agent of pydantic-ai, by its methods."""

    @property
    def run(self) -> Any: ...

    @property
    def run_stream(self) -> Any: ...


class RunnableObject(Protocol):
    """A chat model, chain or agent of LangChain, by its methods."""

    @property
    def ainvoke(self) -> Any: ...

    @property
    def astream(self) -> Any: ...


def model_of(given: Any) -> Model | EmbeddingModel:
    """What answers for a model that a user has given.

    Args:
        given: A `Model` or `EmbeddingModel`, a function, the name of another model, an agent of
            pydantic-ai, or a chat model, chain or agent of LangChain.

    Raises:
        DefinitionError: If it is none of these.
    """
    if isinstance(given, str):
        return NamedModel(given)
    if isinstance(given, type):
        raise DefinitionError(f"a chat model is an object, not {kind_of(given)}: call it")
    if hasattr(given, "is_async") and (hasattr(given, "answer") or hasattr(given, "embed")):
        own: Model | EmbeddingModel = given
        return own
    if hasattr(given, "run_stream") and hasattr(given, "run"):
        from mcp_mount.backends.models.adapters.agents import AgentModel

        return AgentModel(given)
    if hasattr(given, "ainvoke") and hasattr(given, "astream"):
        from mcp_mount.backends.models.adapters.runnables import RunnableModel

        return RunnableModel(given)
    if callable(given):
        return FunctionModel(given)
    if hasattr(given, "chat") or hasattr(given, "messages"):
        raise DefinitionError(
            f"{kind_of(given)} needs the name of a model: ClientModel(client, 'NAME'), of "
            "mcp_mount.models"
        )
    raise DefinitionError(
        f"a chat model is a function, a Model, a client or agent, or the name of one, not "
        f"{type(given).__name__}"
    )
