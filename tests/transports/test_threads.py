"""Where handlers run: the thread that waits for a coroutine does its plain work meanwhile."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from mcp_mount import Context, MCPServer, SyncContext, ToolsRouter
from mcp_mount.transports import background
from mcp_mount.transports.driving import wait_for
from mcp_mount.transports.threads import PLAIN, off_loop
from tests.transports.test_wsgi import Response, call, environ

variable: ContextVar[str] = ContextVar("variable", default="unset")
local = threading.local()


def make(*, middleware: bool = False) -> MCPServer:
    server = MCPServer("threads")
    tools = ToolsRouter()

    @tools.tool
    def mark() -> str:
        return f"{getattr(local, 'mark', 'none')} {variable.get()}"

    @tools.tool
    def speak(ctx: SyncContext) -> str:
        for number in range(3):
            ctx.report_progress(number)
        return f"{getattr(local, 'mark', 'none')} {variable.get()}"

    @tools.tool
    async def nested(ctx: Context) -> list[str]:
        return [await ctx.call_tool(mark), await ctx.call_tool(speak)]

    @tools.tool
    async def nested_aloud(ctx: Context) -> list[str]:
        await ctx.report_progress(0)
        return [await ctx.call_tool(mark), await ctx.call_tool(speak)]

    @tools.tool
    async def at_once(ctx: Context) -> list[str]:
        return await asyncio.gather(*(ctx.call_tool(speak) for _ in range(4)))

    @tools.tool
    def there_and_back(ctx: SyncContext) -> list[str]:
        return ctx.call_tool(nested)

    @tools.tool
    def twice_there_and_back(ctx: SyncContext) -> list[str]:
        return ctx.call_tool(again)

    @tools.tool
    async def again(ctx: Context) -> list[str]:
        return await ctx.call_tool(there_and_back)

    def permitted(request: Any) -> bool:
        return getattr(local, "mark", None) == "mine"

    @tools.tool(permission=permitted)
    def guarded() -> str:
        return "yes"

    @tools.tool
    async def asks_for_more(ctx: Context) -> str:
        return await ctx.call_tool(guarded)

    server.include_router(tools)
    if middleware:

        class Passing(BaseHTTPMiddleware):
            async def dispatch(self, request: Any, call_next: Any) -> Any:
                return await call_next(request)

        server.add_middleware(Passing)
    return server


@pytest.fixture(autouse=True)
def marked() -> Any:
    local.mark = "mine"
    token = variable.set("request")
    yield
    variable.reset(token)
    del local.mark


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
@pytest.mark.parametrize("progress", [False, True], ids=["silent", "aloud"])
@pytest.mark.parametrize(
    "tool", ["nested", "nested_aloud", "there_and_back", "twice_there_and_back"]
)
def test_plain_tools_that_a_coroutine_calls_run_on_the_thread_of_the_request(
    tool: str, progress: bool, middleware: bool
) -> None:
    server = make(middleware=middleware)
    response = call(server, tool, progress=progress)
    body = b"".join(response.chunks)
    assert body.count(b"mine request") == 2 * 2 or b'["mine request","mine request"]' in body


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
def test_what_nested_tools_say_is_heard(middleware: bool) -> None:
    body = b"".join(call(make(middleware=middleware), "at_once", progress=True).chunks)
    assert body.count(b'"mine request"') >= 4
    assert b'"resultType":"complete"' in body


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
def test_the_rules_of_a_tool_that_a_coroutine_calls_run_on_the_thread_of_the_request(
    middleware: bool,
) -> None:
    server = make(middleware=middleware)
    answer = call(server, "asks_for_more").json()
    assert answer["result"]["content"] == [{"type": "text", "text": "yes"}]


@pytest.mark.parametrize("tool", ["mark", "nested"])
def test_over_plain_http_too(tool: str) -> None:
    posted = environ(f"/tools/{tool}", {"content-type": "application/json"}, b"{}")
    answer = Response(make().wsgi, posted).json()
    assert "none" not in str(answer)
    assert "mine request" in str(answer)


def test_a_coroutine_finds_its_thread_from_tasks_of_its_own() -> None:
    async def main() -> int:
        return await asyncio.create_task(off_loop(PLAIN, threading.get_ident))

    assert wait_for(main) == threading.get_ident()


def test_what_outlives_its_call_finds_no_other_thread() -> None:
    task: list[asyncio.Task[Any]] = []
    over = threading.Event()

    async def late() -> None:
        await asyncio.to_thread(over.wait)
        await off_loop(PLAIN, threading.get_ident)

    async def main() -> None:
        task.append(asyncio.create_task(late()))

    wait_for(main)
    over.set()

    async def ending() -> Any:
        return await asyncio.gather(task[0], return_exceptions=True)

    [error] = background.spawn(ending())[0].result()
    assert isinstance(error, RuntimeError)
    assert "has ended" in str(error)


def test_each_request_has_its_own_thread() -> None:
    server = make()

    def one(number: int) -> bool:
        local.mark = f"number {number}"
        body = b"".join(call(server, "nested_aloud", progress=True).chunks)
        return body.count(b"number %d unset" % number) >= 2 and body.count(b"number") % 2 == 0

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(64)))


def test_what_waits_within_a_plain_function_does_not_hold_up_what_is_said() -> None:
    """A coroutine speaks within a plain function that waits for it on the request's thread."""
    server = MCPServer("threads", call_middleware=[lambda call, call_next: call_next()])
    asked = threading.Event()

    @server.tool
    async def speak(ctx: Context) -> str:
        await ctx.report_progress(0)
        await asyncio.to_thread(asked.wait)
        return f"{await ctx.call_tool(mark)}"

    @server.tool
    def mark() -> str:
        return str(getattr(local, "mark", "none"))

    response = call(server, "speak", progress=True)
    assert b"notifications/progress" in next(response.chunks)
    asked.set()
    assert b'"text":"mine"' in b"".join(response.chunks)
