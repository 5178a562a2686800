"""`/v1/embeddings`: texts, and the vectors that represent them."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mcp_mount.features import Registry
from mcp_mount.features.embeddings import METHOD
from mcp_mount.llm.answers import Embeddings, Usage
from mcp_mount.routes.errors import failed
from mcp_mount.routes.gate import runner_of
from mcp_mount.routes.openai.calls import called, incoming_for
from mcp_mount.routes.openai.text import has_tokens
from mcp_mount.routes.parts import registry_of
from mcp_mount.transports.attending import run_calls
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.messages import JSON

_MAX_TEXTS: Final = 2048
"""How many texts a request may have, as at OpenAI."""


class EmbeddingRequest(BaseModel):
    """A request for embeddings. Options that have no attribute here go to the model.

    Attributes:
        model: The name of the model; None for the first that represents texts by vectors.
        input: The text, or several. Numbers of tokens in place of text are refused: only the model
            that has made them can read them. LangChain's client sends such by default, and text
            with `check_embedding_ctx_length=False`.
        encoding_format: How vectors are written: as numbers, or as the Base64 of 32-bit floats.
        dimensions: How many numbers a vector is to have.
    """

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    input: list[str] = Field(min_length=1, max_length=_MAX_TEXTS)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None}

    @field_validator("input", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        texts = [given] if isinstance(given, str) else given
        if has_tokens(texts):
            raise ValueError(
                "Numbers of tokens are not supported: send text. LangChain does so with "
                "OpenAIEmbeddings(check_embedding_ctx_length=False)"
            )
        return texts

    def options(self) -> dict[str, Any]:
        """What the model gets besides the texts."""
        own = {"model", "input", "encoding_format"}
        return self.model_dump(exclude_unset=True, exclude=own)


class EmbeddingsEndpoint:
    """Embeddings.

    Args:
        registry: That of the router.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def answer(self, wanted: EmbeddingRequest, request: Request) -> Response:
        """Represent texts by vectors, within all that is declared around the model."""
        what = "The model"
        try:
            registry = registry_of(request, self._registry)
            incoming = await incoming_for(request, registry, METHOD, wanted.model)
            options = wanted.options()
            make = partial(registry.embedding_call, incoming, wanted.model, wanted.input, options)
            call = await called(request, incoming, make)
            what = f"The model {call.model.name!r}"
            await run_calls([call], runner_of(request), request.receive)
            whole = _whole(call.answer(), call.model.name, wanted.encoding_format)
        except Exception as error:
            return failed(error, what)
        return Response(encode(whole), media_type=JSON)


def _whole(embeddings: Embeddings, model: str, encoding: str) -> dict[str, Any]:
    usage = embeddings.usage or Usage()
    write = _base64 if encoding == "base64" else list
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": write(vector)}
            for number, vector in enumerate(embeddings.vectors)
        ],
        "model": embeddings.model or model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }


def _base64(vector: Sequence[float]) -> str:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers).decode()
