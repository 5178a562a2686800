"""What handlers say that other handlers call: to the client of the call, wherever they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import Context, MCPServer, SyncContext
from mcp_mount.testing import Client
from mcp_mount.wrapping.asgi import mount_asgi
from mcp_mount.wrapping.wsgi import mount_wsgi


class Sure(BaseModel):
    sure: bool


def make() -> MCPServer:
    server = MCPServer("nested", secret_key="for-tests-only", open=True)

    @server.tool
    def asks(ctx: SyncContext) -> str:
        ctx.info("a function asks")
        return str(ctx.elicit("Sure?", Sure).data)

    @server.tool
    async def asks_async(ctx: Context) -> str:
        await ctx.info("a coroutine asks")
        return str((await ctx.elicit("Sure?", Sure)).data)

    @server.tool
    async def both(ctx: Context) -> str:
        answers = await asyncio.gather(ctx.call_tool(asks), ctx.call_tool(asks_async))
        return ", ".join(answers)

    @server.tool
    def all_of_them(ctx: SyncContext) -> str:
        ctx.info("a function calls")
        return f"{ctx.call_tool(both)}, {ctx.call_tool(asks)}"

    @server.tool
    async def all_of_them_async(ctx: Context) -> str:
        await ctx.info("a coroutine calls")
        return str(await ctx.call_tool(all_of_them))

    return server


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application around which the server stands."""


APPS: dict[str, Callable[[], Any]] = {
    "wsgi": lambda: mount_wsgi(lambda environ, start_response: [], "/mcp", make()),
    "asgi": lambda: mount_asgi(nothing, "/mcp", make()),
}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("tool", ["all_of_them", "all_of_them_async"])
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_whoever_is_called_may_ask_the_client(app: str, tool: str, revision: str) -> None:
    questions: list[Any] = []

    def answer(question: Any) -> Any:
        questions.append(question)
        return {"sure": True}

    with Client(APPS[app](), revision=revision, elicit=answer) as client:
        result = client.call_tool(tool)
    assert result.text == "sure=True, sure=True, sure=True"
    assert len(questions) == 3


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("revision", ["2025-11-25"])
def test_whoever_is_called_may_log_for_the_client(app: str, revision: str) -> None:
    own = Client(
        APPS[app](), revision=revision, elicit=lambda question: {"sure": True}, log_level="debug"
    )
    with own as client:
        logs = [data for _, data in client.call_tool("all_of_them_async").logs]
    assert logs[:2] == ["a coroutine calls", "a function calls"]
    assert sorted(logs[2:]) == ["a coroutine asks", "a function asks", "a function asks"]
