"""What a call with a turn of `max_concurrency` calls: it does not wait for that turn, others do."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mcp_mount import (
    ChatRequest,
    CompletionsRouter,
    Context,
    ImageRouter,
    MaxConcurrency,
    MCPServer,
    SyncContext,
)
from mcp_mount.models import ChatCompletion, Route, ToolCall
from tests.faces import Connect
from tests.policies.crowd import crowd
from tests.policies.test_budget import PNG
from tests.routes.test_composition import get

ONE = MaxConcurrency(1, wait=0.2)
"""The wait is over long before a test is, and longer than it takes to get a turn that is free."""


class Busy:
    """How many do something at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def build(limit: Any, *, level: str = "server") -> tuple[MCPServer, CompletionsRouter]:
    declared = {"max_concurrency": limit}
    server = MCPServer("tests", open=True, **(declared if level == "server" else {}))
    router = CompletionsRouter(chat_tool=True, **(declared if level == "router" else {}))
    server.include_router(router)

    @router.tool
    def look(ctx: SyncContext) -> str:
        return ctx.call_tool("look_closely")

    @router.tool
    async def look_closely() -> str:
        return "seen"

    @router.tool
    def asks(ctx: SyncContext) -> str:
        return ctx.complete("hi", model="clerk").text

    @router.tool
    async def asks_async(ctx: Context) -> str:
        return (await ctx.complete("hi", model="clerk")).text

    @router.chat("plain")
    def plain(request: ChatRequest) -> Any:
        return ToolCall("look") if request.messages[-1].role == "user" else "done"

    @router.chat("coroutine")
    async def coroutine(request: ChatRequest) -> Any:
        return ToolCall("look") if request.messages[-1].role == "user" else "done"

    @router.chat("asking")
    async def asking(request: ChatRequest, ctx: Context) -> ChatCompletion:
        return await ctx.complete(request.messages, model="coroutine", tools=request.tools)

    router.add_model("smart", Route("plain", "coroutine"))
    return server, router


@pytest.mark.parametrize("level", ["server", "router"])
@pytest.mark.parametrize("behind", ["plain", "coroutine", "asking", "smart"])
@pytest.mark.parametrize("tool", ["asks", "asks_async", "chat"])
def test_a_call_does_not_wait_for_its_own_turn(
    tool: str, behind: str, level: str, connect_stateless: Connect
) -> None:
    server, router = build(ONE, level=level)
    router.add_model("clerk", behind, tools="auto")
    given = {"message": "hi", "model": "clerk"} if tool == "chat" else {}
    with connect_stateless(server) as client:
        for _ in range(2):
            assert client.call_tool(tool, given).text == "done"


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
@pytest.mark.parametrize("tool", ["asks", "asks_async", "chat"])
def test_the_limit_holds_for_all_others(tool: str, face: str) -> None:
    server, router = build(MaxConcurrency(2, wait=60))
    busy = Busy()

    @router.chat("clerk")
    async def clerk(request: ChatRequest) -> str:
        with busy:
            await asyncio.sleep(0.001)
            return "done"

    given = {"message": "hi", "model": "clerk"} if tool == "chat" else {}
    results = crowd(face, server, tool, lambda number: given)
    assert {one.text for one in results} == {"done"}
    assert busy.most <= 2


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (3, 3)])
def test_what_a_call_gathers_has_its_turn_and_free_ones(limit: int, most: int) -> None:
    server, router = build(MaxConcurrency(limit, wait=60))
    busy = Busy()

    @router.chat("clerk")
    async def clerk(request: ChatRequest) -> str:
        with busy:
            await asyncio.sleep(0.01)
            return "done"

    @server.tool
    async def gathers(ctx: Context) -> int:
        answers = await asyncio.gather(*(ctx.complete("hi", model="clerk") for _ in range(6)))
        return len(answers)

    [result, *_] = crowd("asgi", server, "gathers")
    assert result.data == 6
    assert busy.most == most


def test_a_turn_is_free_again_when_all_has_ended() -> None:
    server, router = build(MaxConcurrency(1, wait=60))
    router.add_model("clerk", "plain", tools="auto")
    for _ in range(2):
        results = crowd("asgi", server, "asks_async")
        assert {one.text for one in results} == {"done"}


def test_a_tool_of_images_does_not_wait_for_its_own_turn(connect_stateless: Connect) -> None:
    server = MCPServer("tests", open=True, max_concurrency=ONE)
    images = ImageRouter(max_concurrency=ONE)
    images.add_backend("painter", lambda prompt, size: PNG)
    server.include_router(images)
    with connect_stateless(server) as client:
        assert not client.call_tool("generate_image", {"prompt": "x"}).is_error
    body = {"prompt": "x", "n": 3}
    assert get(server, "/v1/images/generations", "POST", json=body).status_code == 200
