"""Handlers that say nothing for long: what clients hear, and what their leaving means."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mcp_mount import Context, MCPServer, SyncContext, ToolError
from mcp_mount.protocol import Request
from mcp_mount.transports.wsgi import EventStream
from tests.requests import Session, message, stateless

VERSIONS = ("2026-07-28", "2025-11-25", "2025-06-18")
COROUTINES = ("quiet_async", "quiet_async_context")
TOOLS = ("quiet", "quiet_context", *COROUTINES)
COMMENT = ": keep-alive\n\n"


class Gate:
    """What a tool waits for, on a loop or on a thread."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ended: list[str] = []

    async def wait(self, tool: str) -> str:
        self.begun.set()
        while not self.go.is_set():
            await asyncio.sleep(0.005)
        self.ended.append(tool)
        return tool


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go.set()


@pytest.fixture
def server(gate: Gate) -> MCPServer:
    server = MCPServer("tests", keep_alive=0.15)

    @server.tool
    def quiet() -> str:
        gate.begun.set()
        gate.go.wait(5)
        gate.ended.append("quiet")
        return "quiet"

    @server.tool
    def quiet_context(ctx: SyncContext) -> str:
        gate.begun.set()
        gate.go.wait(5)
        gate.ended.append("quiet_context")
        return "quiet_context"

    @server.tool
    async def quiet_async() -> str:
        return await gate.wait("quiet_async")

    @server.tool
    async def quiet_async_context(ctx: Context) -> str:
        return await gate.wait("quiet_async_context")

    @server.tool
    async def fail() -> str:
        await gate.wait("fail")
        raise ToolError("No luck")

    @server.resource("test://broken")
    async def broken() -> str:
        await gate.wait("broken")
        raise RuntimeError("broken")

    @server.tool
    def short() -> str:
        return "short"

    @server.tool
    async def short_async() -> str:
        return "short"

    return server


class Connection:
    """A request to a server in this process, over ASGI: its client may leave at any moment."""

    def __init__(self, server: MCPServer, headers: dict[str, str], body: bytes = b"") -> None:
        self._server = server
        self._body = body
        self.scope = {
            "type": "http",
            "method": "POST" if body else "GET",
            "path": "/mcp",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.text = ""
        self.types: list[str] = []
        self.status = 0
        self.media_type = ""
        self.left = asyncio.Event()
        self._read = False

    async def run(self) -> None:
        await self._server(self.scope, self._receive, self._send)

    async def until(self, good: Callable[[], bool]) -> None:
        while not good():
            await asyncio.sleep(0.005)

    @property
    def messages(self) -> list[Any]:
        if self.media_type != "text/event-stream":
            return [json.loads(self.text)]
        lines = self.text.splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    @property
    def ids(self) -> list[str]:
        return [line[4:] for line in self.text.splitlines() if line.startswith("id: ")]

    async def _receive(self) -> Any:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.media_type = dict(message["headers"])[b"content-type"].decode()
        else:
            assert self.status
            self.text += message["body"].decode()


def call(server: MCPServer, version: str, tool: str, accept: str | None = None) -> Connection:
    params = {"name": tool, "arguments": {}}
    if version == "2026-07-28":
        headers, body = stateless("tools/call", params)
    else:
        headers = Session(server, version).headers
        body = json.dumps(message("tools/call", params)).encode()
    return Connection(server, headers | ({} if accept is None else {"accept": accept}), body)


@asynccontextmanager
async def running(connection: Connection) -> AsyncIterator[Connection]:
    task = asyncio.create_task(connection.run())
    try:
        yield connection
        await task
    finally:
        task.cancel()


def run(test: Callable[[], Any]) -> None:
    """Run a test on a loop, and see that it leaves no task behind."""

    async def watched() -> None:
        before = asyncio.all_tasks()
        await asyncio.wait_for(test(), 10)
        for _ in range(100):
            if asyncio.all_tasks() == before:
                return
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == before

    asyncio.run(watched())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_client_hears_of_a_silent_handler(
    server: MCPServer, gate: Gate, version: str, tool: str
) -> None:
    async def test() -> None:
        async with running(call(server, version, tool)) as connection:
            await connection.until(lambda: connection.text.count(COMMENT) >= 3)
            assert (connection.status, connection.media_type) == (200, "text/event-stream")
            assert connection.text.startswith(COMMENT)
            assert connection.messages == []
            gate.go.set()
        assert connection.messages[0]["result"]["content"][0]["text"] == tool
        if version == "2026-07-28":
            assert connection.ids == []

    run(test)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tool", ["short", "short_async"])
def test_a_short_call_is_answered_in_plain_json(server: MCPServer, version: str, tool: str) -> None:
    async def test() -> None:
        async with running(call(server, version, tool)) as connection:
            pass
        assert (connection.status, connection.media_type) == (200, "application/json")
        assert connection.messages[0]["result"]["content"][0]["text"] == "short"

    run(test)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_client_that_takes_json_alone_waits(server: MCPServer, gate: Gate, tool: str) -> None:
    server.core.protocol.settings.keep_alive = 0.01

    async def test() -> None:
        async with running(
            call(server, "2026-07-28", tool, accept="application/json")
        ) as connection:
            await connection.until(gate.begun.is_set)
            await asyncio.sleep(0.05)
            assert connection.status == 0
            gate.go.set()
        assert connection.media_type == "application/json"

    run(test)


def test_an_error_comes_as_an_event_once_the_response_has_begun(
    server: MCPServer, gate: Gate
) -> None:
    async def test() -> None:
        async with running(call(server, "2026-07-28", "fail")) as connection:
            await connection.until(lambda: COMMENT in connection.text)
            gate.go.set()
        [answer] = connection.messages
        assert answer["result"]["content"][0]["text"] == "No luck"
        gate.go.clear()
        headers, body = stateless("resources/read", {"uri": "test://broken"})
        async with running(Connection(server, headers, body)) as connection:
            await connection.until(lambda: COMMENT in connection.text)
            gate.go.set()
        [answer] = connection.messages
        assert (connection.status, answer["error"]["code"]) == (200, -32603)

    run(test)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_session_comes_back_to_a_response_that_began_late(
    server: MCPServer, gate: Gate, tool: str
) -> None:
    async def test() -> None:
        connection = call(server, "2025-11-25", tool)
        session = {name.decode(): value.decode() for name, value in connection.scope["headers"]}
        async with running(connection):
            await connection.until(lambda: bool(connection.ids))
            connection.left.set()
            if tool != "quiet_async_context":
                # What cannot speak runs within its request, though the client has left.
                gate.go.set()
        gate.go.set()
        again = Connection(
            server,
            {**session, "accept": "text/event-stream", "last-event-id": connection.ids[-1]},
        )
        async with running(again):
            pass
        assert again.messages[0]["result"]["content"][0]["text"] == tool

    run(test)


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_session_whose_client_leaves_before_the_first_message_goes_on(
    server: MCPServer, gate: Gate, version: str, tool: str
) -> None:
    server.core.protocol.settings.keep_alive = 3.0 if tool == "quiet_async_context" else 60.0

    async def test() -> None:
        connection = call(server, version, tool)
        task = asyncio.create_task(connection.run())
        await connection.until(gate.begun.is_set)
        connection.left.set()
        await asyncio.sleep(0.05)
        assert gate.ended == []
        gate.go.set()
        await task
        await connection.until(lambda: gate.ended == [tool])

    run(test)


@pytest.mark.parametrize("tool", COROUTINES)
@pytest.mark.parametrize("late", [False, True])
def test_a_client_of_2026_07_28_that_leaves_cancels_its_call(
    server: MCPServer, gate: Gate, tool: str, late: bool
) -> None:
    if not late:
        server.core.protocol.settings.keep_alive = 60.0

    async def test() -> None:
        async with running(call(server, "2026-07-28", tool)) as connection:
            await connection.until(gate.begun.is_set)
            if late:
                await connection.until(lambda: COMMENT in connection.text)
            connection.left.set()
        gate.go.set()
        await asyncio.sleep(0.02)
        assert gate.ended == []

    run(test)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tool", COROUTINES)
def test_under_wsgi_a_client_hears_of_a_silent_coroutine(
    server: MCPServer, gate: Gate, version: str, tool: str
) -> None:
    params = {"name": tool, "arguments": {}}
    if version == "2026-07-28":
        headers, body = stateless("tools/call", params)
    else:
        headers = Session(server, version).headers
        body = json.dumps(message("tools/call", params)).encode()
    answer = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    assert isinstance(answer, EventStream)
    events: list[bytes] = []
    for event in answer.events:
        events.append(event)
        if events.count(COMMENT.encode()) == 2:
            gate.go.set()
    assert events[0] == COMMENT.encode()
    assert json.loads(events[-1].decode().split("data: ")[1])["result"]["content"][0]["text"] == (
        tool
    )


@pytest.mark.parametrize("tool", ["short", "short_async"])
def test_under_wsgi_a_short_call_is_answered_in_plain_json(server: MCPServer, tool: str) -> None:
    headers, body = stateless("tools/call", {"name": tool, "arguments": {}})
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    assert dict(reply.headers)["content-type"] == "application/json"  # type: ignore[union-attr]
