"""Python functions as models that represent texts by vectors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mcp_mount.llm.answers import Embeddings
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import ModelTraits
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    is_coroutine_function,
    signature_of,
)

_DIMENSIONS = "dimensions"


class FunctionEmbedding(ModelTraits):
    """A function that represents texts by vectors, as a model.

    It takes a list of texts, and `dimensions` if it has a parameter of that name: how many numbers
    a vector is to have; where a client does not say it, the default of the parameter, or None. It
    returns `Embeddings`, or a list of as many vectors: lists of
    numbers, or a NumPy array.

    Args:
        function: The function, plain or a coroutine function.

    Raises:
        DefinitionError: If it takes other parameters.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = is_coroutine_function(function)
        parameters = list(signature_of(function).parameters.values())
        needed = [
            one.name
            for one in parameters[1:]
            if one.default is one.empty
            and one.name != _DIMENSIONS
            and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        if needed or not parameters:
            raise DefinitionError(
                f"{describe(function)}: an embedding function takes a list of texts, and "
                f"{_DIMENSIONS} if it wants that{', not ' + ', '.join(needed) if needed else ''}"
            )
        own = next((one for one in parameters[1:] if one.name == _DIMENSIONS), None)
        self._takes_dimensions = own is not None
        self._has_default = own is not None and own.default is not own.empty

    def embed(self, texts: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Represent texts by vectors; a coroutine, if the function is one."""
        wanted = options.get(_DIMENSIONS)
        return self._embed_async(texts, wanted) if self.is_async else self._embed(texts, wanted)

    def _embed(self, texts: Sequence[Any], wanted: int | None) -> Embeddings:
        value = self._call(texts, wanted)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(f"{describe(self.function)} is no coroutine function: use async def")
        return _as_embeddings(value, wanted)

    async def _embed_async(self, texts: Sequence[Any], wanted: int | None) -> Embeddings:
        return _as_embeddings(await self._call(texts, wanted), wanted)

    def _call(self, texts: Sequence[Any], wanted: int | None) -> Any:
        is_left_out = not self._takes_dimensions or (wanted is None and self._has_default)
        given = {} if is_left_out else {_DIMENSIONS: wanted}
        return self.function(list(texts), **given)


def _as_embeddings(value: Any, wanted: int | None) -> Embeddings:
    whole = value if isinstance(value, Embeddings) else None
    given = value if whole is None else whole.vectors
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise TypeError(
            "An embedding function returns a list of vectors or Embeddings, not "
            f"{type(value).__name__}"
        )
    vectors = [one.tolist() if hasattr(one, "tolist") else list(one) for one in given]
    if wanted is not None and any(len(one) != wanted for one in vectors):
        length = len(vectors[0])
        raise ModelError(
            f"The vectors of this model have {length} dimensions, not {wanted}",
            status=400,
            param=_DIMENSIONS,
            again=False,
        )
    if whole is None:
        return Embeddings(vectors)
    return Embeddings(vectors, whole.usage, whole.model)
