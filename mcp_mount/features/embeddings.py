"""The call of a model that represents texts by vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pydantic import TypeAdapter

from mcp_mount.calls.catalogue import HandlerCall
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.features.metering import tokens_of_texts
from mcp_mount.features.model_calls import ModelCall
from mcp_mount.features.models import RegisteredModel, named_model
from mcp_mount.features.prices import known_cost
from mcp_mount.features.reserving import Metered, metered
from mcp_mount.llm.answers import Embeddings, Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.revisions import Revision

METHOD: Final = "embeddings"
"""How logs, audits and call middleware name the method of a call."""

_embeddings: Final = TypeAdapter(Embeddings)


class EmbeddingCall(ModelCall[Embeddings]):
    """A call of a model that represents texts by vectors."""

    __slots__ = ("_texts",)

    def __init__(
        self,
        incoming: IncomingRequest,
        model: RegisteredModel,
        texts: Sequence[str],
        options: Mapping[str, Any],
    ) -> None:
        """Prepare a call.

        Args:
            incoming: The request that asks for it.
            model: The model.
            texts: The texts.
            options: All other options of the request.
        """
        assert model.embedding is not None, "only such models are called"
        self._texts = texts
        super().__init__(
            replace(incoming, method=METHOD, params={"name": model.name}),
            model,
            self._embed_async if model.embedding.is_async else self._embed,
            (texts, options),
            is_async=model.embedding.is_async,
            encode=self._encode_vectors,
            arguments={**options, "input": texts},
            validate=self._take_arguments,
        )

    def _take_arguments(self, arguments: Mapping[str, Any]) -> HandlerCall:
        """Take what call middleware may have put in place of the texts and options."""
        options = dict(arguments)
        self._texts = options.pop("input")
        return (self._texts, options), {}

    def _embed(self, texts: Sequence[str], options: Mapping[str, Any]) -> Any:
        model: Any = self.model.embedding
        if self.incoming.spending is None:
            return model.embed(texts, options)
        with metered(self, self.model.price) as metering:
            return metering.ask(partial(model.embed, texts, options))

    async def _embed_async(self, texts: Sequence[str], options: Mapping[str, Any]) -> Any:
        model: Any = self.model.embedding
        if self.incoming.spending is None:
            return await model.embed(texts, options)
        with metered(self, self.model.price) as metering:
            return await metering.ask_async(partial(model.embed, texts, options))

    def note_spending(self, metering: Metered) -> None:
        """Note what the vectors have taken."""
        if metering.answer is not None:
            metering.note(metering.answer.usage or Usage(tokens_of_texts(self._texts)))
        elif metering.is_cut:
            metering.note(metering.most)

    def _encode_vectors(self, value: Embeddings, revision: Revision) -> Result:
        if len(value.vectors) != len(self._texts):
            raise TypeError(
                f"The model {self.model.name!r} has returned {len(value.vectors)} vectors for "
                f"{len(self._texts)} texts"
            )
        return self._keep(value, encode(_embeddings.dump_python(value, mode="json")))

    def used(self) -> tuple[Usage | None, float | None]:
        """The tokens and the cost of the vectors, if they are known."""
        known = self.known_answer()
        return known_cost(self.model.price, None if known is None else known.usage)

    def most(self, max_tokens: int) -> Usage:
        """How many tokens it takes, at most."""
        return Usage(tokens_of_texts(self._texts))

    def _answer_in(self, value: Any) -> Embeddings:
        return _embeddings.validate_python(value)


def embedding_call(
    models: Mapping[str, RegisteredModel],
    incoming: IncomingRequest,
    name: str | None,
    texts: Sequence[str],
    options: Mapping[str, Any],
) -> EmbeddingCall:
    """The call of the model that a request for vectors names.

    Args:
        models: The models of a server, by their names.
        incoming: The request that asks for it.
        name: The name of the model; None for the first that represents texts by vectors.
        texts: The texts.
        options: All other options of the request.

    Raises:
        ModelError: 404 if there is no such model, or its caller may not know of it; 400 if it is of
            another kind.
        ProtocolError: 401 or 403, if an access token with more scopes is missing.
    """
    embedding = {key: one for key, one in models.items() if one.embedding is not None}
    if name not in models or name in embedding:
        return EmbeddingCall(incoming, named_model(embedding, incoming, name), texts, options)
    model = named_model(models, incoming, name)
    raise ModelError(
        f"The model {model.name!r} does not represent texts by vectors",
        status=400,
        param="model",
        again=False,
    )
