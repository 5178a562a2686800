"""A model of the server under another name, with policies of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcp_mount.context import operations
from mcp_mount.context.operations import perform_async
from mcp_mount.llm.answers import ChatCompletion, Delta
from mcp_mount.llm.models import Invocation, Pieces
from mcp_mount.schemas.functions import DefinitionError


class NamedModel:
    """Asks another model of the server.

    Args:
        name: The name of the other model, which may be registered later.

    Raises:
        DefinitionError: If it is empty.
    """

    is_async = True
    wants_context = True
    delegates = True

    def __init__(self, name: str) -> None:
        if not name:
            raise DefinitionError("a model is named by a text that is not empty")
        self.name = name

    @property
    def members(self) -> Sequence[str]:
        """The names of all models that it may ask."""
        return (self.name,)

    async def answer(self, invocation: Invocation) -> ChatCompletion:
        """Answer a request, by the other model; the answer names it."""
        request = invocation.request.model_copy(update={"model": self.name})
        pieces = _NamedPieces(invocation.pieces, self.name)
        operation = operations.complete(invocation.context, request, pieces)
        completion = await perform_async(operation)
        return replace(completion, model=completion.model or self.name)


class _NamedPieces:
    """Passes on pieces; the first one names the model.

    Args:
        pieces: Where they go.
        name: The name, for a model that tells none.
    """

    def __init__(self, pieces: Pieces, name: str) -> None:
        self._pieces = pieces
        self._name: str | None = name

    async def put(self, delta: Delta) -> None:
        await self._pieces.put(self._named(delta))

    def put_from_thread(self, delta: Delta) -> None:
        self._pieces.put_from_thread(self._named(delta))

    def _named(self, delta: Delta) -> Delta:
        name, self._name = self._name, None
        return delta if name is None else replace(delta, model=delta.model or name)
