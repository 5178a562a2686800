"""A handler that awaits something which is cancelled, though nobody has cancelled its call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from mcp_mount import Context, MCPServer, SyncContext, ToolsRouter
from mcp_mount.testing import AsyncClient, Client, RPCError

TOOLS = (
    "cancelled",
    "cancelled_plain",
    "cancelled_asyncio_run",
    "cancelled_aloud",
    "cancelled_within",
    "cancelled_within_plain",
    "cancelled_policy",
)


async def broken() -> None:
    """Await a task that somebody else has cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


def build() -> MCPServer:
    server = MCPServer("tests", secret_key="for tests")
    router = ToolsRouter()

    @router.tool
    async def cancelled() -> str:
        await broken()
        return "never"

    @router.tool
    def cancelled_plain() -> str:
        future: concurrent.futures.Future[str] = concurrent.futures.Future()
        future.cancel()
        return future.result()

    @router.tool
    def cancelled_asyncio_run() -> str:
        raise asyncio.CancelledError

    @router.tool
    async def cancelled_aloud(ctx: Context) -> str:
        await ctx.info("soon")
        await broken()
        return "never"

    @router.tool
    async def cancelled_within(ctx: Context) -> str:
        await ctx.call_tool("cancelled")
        return "never"

    @router.tool
    def cancelled_within_plain(ctx: SyncContext) -> str:
        ctx.call_tool("cancelled")
        return "never"

    async def middleware(call: Any, call_next: Any) -> Any:
        await broken()
        return await call_next()

    @router.tool(call_middleware=middleware)
    async def cancelled_policy() -> str:
        return "never"

    @router.tool(task=True, timeout=30)
    async def cancelled_task() -> str:
        await broken()
        return "never"

    @router.tool
    async def caught() -> str:
        try:
            await broken()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "caught"

    @server.resource("test://cancelled")
    async def resource() -> str:
        await broken()
        return "never"

    @server.prompt
    async def prompt() -> str:
        await broken()
        return "never"

    server.include_router(router)
    return server


@pytest.fixture(params=["asgi", "wsgi"])
def host(request: pytest.FixtureRequest) -> Any:
    server = build()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await server(scope, receive, send)

    return app if request.param == "asgi" else server.wsgi


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
def client(host: Any, request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(host, path="/mcp", revision=request.param) as client:
        yield client


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_fails(client: Any, tool: str) -> None:
    result = client.call_tool(tool)
    assert result.is_error
    assert "failed" in result.text


def test_what_the_handler_handles_is_no_failure(client: Any) -> None:
    assert client.call_tool("caught").text == "caught"


def test_a_prompt_and_a_resource_fail(client: Any) -> None:
    with pytest.raises(RPCError, match="The server failed"):
        client.read_resource("test://cancelled")
    with pytest.raises(RPCError, match="The server failed"):
        client.get_prompt("prompt")


def test_a_task_fails_and_is_not_cancelled(host: Any) -> None:
    with Client(host, path="/mcp", tasks=True) as client:
        result = client.call_tool("cancelled_task")
    assert result.is_error
    assert "failed" in result.text


@pytest.mark.parametrize("tool", [one for one in TOOLS if one != "cancelled_aloud"])
def test_a_tool_fails_over_plain_http(tool: str) -> None:
    with TestClient(build(), raise_server_exceptions=False) as client:
        answer = client.post(f"/tools/{tool}", json={})
    # One that calls another tool tells what that one says of its failure.
    assert answer.status_code == (400 if "within" in tool else 500)
    assert "failed" in answer.json()["detail"]


def test_a_coroutine_that_is_cancelled_outlasts_the_plain_functions_that_it_calls() -> None:
    """What it has around them, such as a session, is open until they have ended."""
    server = MCPServer("shop")
    began, goes_on, told = threading.Event(), threading.Event(), list[str]()
    over = asyncio.Event()

    @server.tool
    def counts() -> str:
        began.set()
        goes_on.wait(10)
        told.append("the function has ended")
        return "counted"

    @server.tool
    async def opens(ctx: Context) -> str:
        try:
            return await ctx.call_tool(counts)
        except asyncio.CancelledError:
            told.append("the coroutine is cancelled")
            raise
        finally:
            over.set()

    async def leave() -> None:
        task = asyncio.create_task(AsyncClient(server).call_tool("opens"))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):
            # Until the server has heard of it, on this very loop.
            await asyncio.sleep(0)
        goes_on.set()
        await asyncio.wait_for(over.wait(), 10)

    asyncio.run(leave())
    assert told == ["the function has ended", "the coroutine is cancelled"]
