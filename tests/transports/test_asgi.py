"""The ASGI driver: where functions run, and what happens when the client leaves."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import ClientError, Context, MCPServer, SyncContext
from tests.requests import Session, message, stateless

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Connection:
    """An ASGI connection to a server: it can be closed by the client at any moment."""

    def __init__(self, tool: str, *, progress: bool = False) -> None:
        meta: Any = json.loads(stateless("x")[1])["params"]["_meta"]
        if progress:
            meta["progressToken"] = "p"
        headers, self._body = stateless("tools/call", {"name": tool, "_meta": meta})
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/mcp",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.sent: list[Any] = []
        self.heard = asyncio.Event()
        self.left = asyncio.Event()
        self._read = False

    async def receive(self) -> Any:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.heard.set()

    @property
    def text(self) -> str:
        return b"".join(one.get("body", b"") for one in self.sent).decode()


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer("tests")

    @server.tool
    def where() -> dict[str, Any]:
        return {"thread": threading.current_thread().name, "variable": variable.get()}

    @server.tool
    async def async_where() -> dict[str, Any]:
        return {"thread": threading.current_thread().name, "variable": variable.get()}

    return server


def run(test: Callable[[], Any]) -> None:
    """Run a test on a loop, and see that it leaves no task behind."""

    async def watched() -> None:
        before = asyncio.all_tasks()
        await asyncio.wait_for(test(), 60)
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    asyncio.run(watched())


@pytest.mark.parametrize(
    ("tool", "thread"), [("where", "mcp-mount-tool"), ("async_where", "MainThread")]
)
def test_functions_run_where_they_belong_with_the_context_of_the_request(
    server: MCPServer, tool: str, thread: str
) -> None:
    async def test() -> None:
        variable.set("request")
        connection = Connection(tool)
        await server(connection.scope, connection.receive, connection.send)
        seen = json.loads(connection.text)["result"]["structuredContent"]
        assert seen["thread"].startswith(thread)
        assert seen["variable"] == "request"

    run(test)


@pytest.mark.parametrize("progress", [False, True])
def test_a_client_that_leaves_cancels_a_coroutine(server: MCPServer, progress: bool) -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    @server.tool
    async def wait() -> str:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("wait")
        return "late"

    @server.tool
    async def speak_and_wait(ctx: Context) -> str:
        try:
            await ctx.report_progress(1)
            await asyncio.sleep(60)
        finally:
            ended.append("speak_and_wait")
        return "late"

    async def test() -> None:
        tool = "speak_and_wait" if progress else "wait"
        connection = Connection(tool, progress=progress)
        task = asyncio.create_task(server(connection.scope, connection.receive, connection.send))
        if progress:
            await connection.heard.wait()
        else:
            await begun.wait()
        connection.left.set()
        await task
        assert ended == [tool]
        assert "late" not in connection.text

    run(test)


def test_a_client_that_leaves_does_not_hold_a_plain_function(server: MCPServer) -> None:
    release, ended = threading.Event(), threading.Event()
    seen: list[bool] = []

    @server.tool
    def speak_and_wait(ctx: SyncContext) -> str:
        seen.append(ctx.cancelled)
        ctx.report_progress(1)
        release.wait(60)
        ctx.report_progress(2)
        seen.append(ctx.cancelled)
        ended.set()
        return "late"

    async def test() -> None:
        connection = Connection("speak_and_wait", progress=True)
        task = asyncio.create_task(server(connection.scope, connection.receive, connection.send))
        await connection.heard.wait()
        connection.left.set()
        await task
        release.set()
        assert await asyncio.to_thread(ended.wait, 60)
        assert '"progress":2' not in connection.text
        assert seen == [False, True]

    run(test)


def test_a_plain_function_that_asks_does_not_wait_for_a_client_that_stays_away(
    server: MCPServer,
) -> None:
    server.core.protocol.settings.keep_alive = 0.05
    server.core.protocol.settings.resume_ttl = 0.1
    outcome: list[str] = []
    ended = threading.Event()

    class Answer(BaseModel):
        text: str

    @server.tool
    def question(ctx: SyncContext) -> str:
        try:
            ctx.elicit("Well?", Answer)
        except ClientError as error:
            outcome.append(str(error))
        ended.set()
        return "late"

    async def test() -> None:
        session = Session(server, "2025-11-25", {"elicitation": {}})
        connection = Connection("question")
        names = session.headers.items()
        body = message("tools/call", {"name": "question"})
        connection._body = json.dumps(body).encode()
        connection.scope["headers"] = [(name.encode(), value.encode()) for name, value in names]
        task = asyncio.create_task(server(connection.scope, connection.receive, connection.send))
        while "elicitation/create" not in connection.text:
            await asyncio.sleep(0.01)
        connection.left.set()
        await task
        assert await asyncio.to_thread(ended.wait, 60)
        assert outcome == ["The client has left"]

    run(test)


def test_a_coroutine_may_wait_without_the_client_leaving(server: MCPServer) -> None:
    @server.tool
    async def patient() -> str:
        await asyncio.sleep(0.01)
        async with asyncio.Lock():
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.01))
        try:
            await asyncio.wait_for(asyncio.sleep(60), 0.01)
        except asyncio.TimeoutError:
            return "patient"
        return "never"

    async def test() -> None:
        connection = Connection("patient")
        await server(connection.scope, connection.receive, connection.send)
        assert json.loads(connection.text)["result"]["content"][0]["text"] == "patient"

    run(test)


def test_a_client_that_leaves_within_its_body_gets_no_answer(server: MCPServer) -> None:
    async def test() -> None:
        connection = Connection("where")

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        await server(connection.scope, receive, connection.send)
        assert connection.sent == []

    run(test)


def test_many_waiting_calls_run_side_by_side(server: MCPServer) -> None:
    together: list[int] = []
    running = 0

    @server.tool
    async def rest() -> str:
        nonlocal running
        running += 1
        together.append(running)
        while max(together) < 50:
            await asyncio.sleep(0.01)
        running -= 1
        return "rested"

    async def test() -> None:
        connections = [Connection("rest") for _ in range(50)]
        await asyncio.gather(*(server(one.scope, one.receive, one.send) for one in connections))
        assert max(together) == 50
        assert all("rested" in one.text for one in connections)

    run(test)
