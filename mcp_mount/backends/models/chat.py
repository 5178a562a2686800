"""Chat completions: the request and the replies of the OpenAI HTTP interface.

One Python function is a model: it takes a `ChatRequest` and returns the answer, whole or in
pieces.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mcp_mount.schemas.functions import is_coroutine_function
from mcp_mount.wire.encoding import encode


class ChatMessage(BaseModel):
    """One message of a conversation, as OpenAI clients write it.

    Attributes:
        content: Text, or a list of parts.
    """

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The text of the message, out of its parts if it has several."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class ChatRequest(BaseModel):
    """A request for a chat completion. Options that we do not name are kept as they came."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A function as a chat model. It may be a coroutine function, or return an iterator."""

    name: str
    function: Callable[[ChatRequest], Any]
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def is_async(self) -> bool:
        return is_coroutine_function(self.function)

    def card(self) -> dict[str, Any]:
        """The model as `GET /v1/models` lists it."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "server"}


@dataclass(slots=True)
class ChatCompletion:
    """The frame of one completion: its id and its moment stand on every piece of it."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": text}
        return self._frame("chat.completion", message=message, finish_reason="stop")

    def piece(self, text: str | None) -> bytes:
        """One event of a streamed answer; None for the last one."""
        delta = {} if text is None else {"role": "assistant", "content": text}
        finish: Literal["stop"] | None = "stop" if text is None else None
        frame = self._frame("chat.completion.chunk", delta=delta, finish_reason=finish)
        return b"data: %b\n\n" % encode(frame)

    def _frame(self, kind: str, **choice: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, **choice}],
        }


DONE = b"data: [DONE]\n\n"


async def pieces(answer: Any) -> AsyncIterator[str]:
    """A model's answer piece by piece, whatever form it has."""
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, AsyncIterator):
        async for piece in answer:
            yield str(piece)
    elif isinstance(answer, Iterator):
        from starlette.concurrency import iterate_in_threadpool

        async for piece in iterate_in_threadpool(answer):
            yield str(piece)
    else:
        raise TypeError(f"a chat model returns text or an iterator, not {type(answer).__name__}")
