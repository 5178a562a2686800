"""Asking models without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from mcp_mount.llm.requests import chat_request
from mcp_mount.models import Anthropic, ChatCompletion, Delta, Invocation, OpenAI
from tests.upstream import Upstream

KINDS = ("openai", "anthropic")


class Taken:
    """Keeps the pieces of an answer."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    async def put(self, delta: Delta) -> None:
        self.deltas.append(delta)

    def put_from_thread(self, delta: Delta) -> None:
        self.deltas.append(delta)


def model_of(kind: str, upstream: Upstream, name: str = "ok", **options: Any) -> Any:
    options = {"key": "sk-secret", **options}
    if kind == "openai":
        return OpenAI(f"{upstream.url}/v1", name, **options)
    return Anthropic(name, base_url=upstream.url, **options)


def ask(model: Any, question: Any = "Hello you there", **options: Any) -> ChatCompletion:
    return ask_in_pieces(model, question, **options)[0]


def ask_in_pieces(
    model: Any, question: Any = "Hello you there", context: Any = None, **options: Any
) -> tuple[ChatCompletion, list[Delta]]:
    """The whole answer, and its pieces if `stream`."""
    taken = Taken()

    asking = Invocation(chat_request(question, **options), taken, context)
    if model.is_async:
        return asyncio.run(model.answer(asking)), taken.deltas
    return model.answer(asking), taken.deltas


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def events(*data: Any) -> tuple[str, bytes]:
    """A stream of events, for `Upstream.raw`."""
    import json

    texts: Iterable[str] = (one if isinstance(one, str) else json.dumps(one) for one in data)
    return "text/event-stream", "".join(f"data: {text}\n\n" for text in texts).encode()
