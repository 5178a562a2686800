"""The models that all clients are shown: one for each thing that a client may want of a model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from mcp_mount import ChatRequest, CompletionsRouter, ImageRouter, MCPServer
from mcp_mount.models import Embeddings, ModelError, Reasoning, ToolCall, Usage

ADA = {"name": "Ada", "age": 36}


def fill(server: MCPServer) -> MCPServer:
    """Register everything on a server of any host."""
    router = CompletionsRouter()
    state: dict[str, Any] = {"busy": set(), "broken": 0, "open": 0}

    @router.chat("echo")
    async def echo(request: ChatRequest) -> AsyncIterator[Any]:
        for word in _words(request.text):
            yield word
        yield Usage(3, 2)

    @router.chat("plain")
    def plain(request: ChatRequest) -> Iterator[Any]:
        yield from _words(request.text)
        yield Usage(3, 2)

    @router.chat("thinker")
    async def thinker(request: ChatRequest) -> AsyncIterator[Any]:
        yield Reasoning("Let me see")
        yield request.text

    @router.chat("typed")
    def typed(request: ChatRequest) -> Any:
        if request.tools:
            return ToolCall(request.tools[0]["function"]["name"], ADA)
        assert request.response_format is not None
        return json.dumps(ADA)

    @router.chat("caller")
    async def caller(request: ChatRequest) -> AsyncIterator[Any]:
        results = [one.text for one in request.messages if one.role == "tool"]
        if results:
            yield ", ".join(results)
            return
        for city in request.text.split():
            yield ToolCall("weather", {"city": city})

    @router.chat("busy")
    def busy(request: ChatRequest) -> str:
        if request.text not in state["busy"]:
            state["busy"].add(request.text)
            raise ModelError("Come later", status=429, retry_after=0.1)
        return "at last"

    @router.chat("broken")
    def broken(request: ChatRequest) -> str:
        state["broken"] += 1
        raise RuntimeError("secret")

    @router.chat("endless")
    async def endless(request: ChatRequest) -> AsyncIterator[str]:
        state["open"] += 1
        try:
            while True:
                yield "on "
                await asyncio.sleep(0.02)
        finally:
            state["open"] -= 1

    @router.chat("endless-plain")
    def endless_plain(request: ChatRequest) -> Iterator[str]:
        state["open"] += 1
        try:
            while True:
                yield "on "
                time.sleep(0.02)
        finally:
            state["open"] -= 1

    @router.chat("state")
    def show(request: ChatRequest) -> str:
        return str(state[request.text])

    @router.embedding("vectors")
    def vectors(texts: list[str]) -> Embeddings:
        return Embeddings([[float(len(text)), 0.5] for text in texts], Usage(4))

    server.include_router(router)
    server.include_router(ImageRouter())
    return server


def _words(text: str) -> Iterator[str]:
    for word in text.split():
        yield f"{word} "
