"""How many at a time, for how long, how large."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from mcp_mount import (
    Call,
    Context,
    DefinitionError,
    MaxConcurrency,
    MCPServer,
    Result,
    SyncContext,
    Timeout,
    ToolsRouter,
)
from mcp_mount.testing import AsyncClient, Client
from mcp_mount.wire.errors import CallRejected
from tests.faces import Connect
from tests.policies.crowd import crowd


class Gauge:
    """How many run at a time, at most."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("tool", ["work", "work_async"])
def test_no_more_than_allowed_run_at_a_time(kind: str, tool: str) -> None:
    gauge, server = Gauge(), MCPServer()

    @server.tool(max_concurrency=4)
    def work() -> str:
        with gauge:
            # The first ones wait for each other.
            while gauge.most < 4:
                time.sleep(0.005)
        return "done"

    @server.tool(max_concurrency=4)
    async def work_async() -> str:
        with gauge:
            while gauge.most < 4:
                await asyncio.sleep(0.005)
        return "done"

    answers = crowd(kind, server, tool)
    assert {one.text for one in answers} == {"done"}
    assert gauge.most == 4


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_who_waits_too_long_is_told_to_come_again(kind: str) -> None:
    server = MCPServer(max_concurrency=MaxConcurrency(1, wait=0.05))
    refused: list[str] = []
    runs: list[int] = []

    @server.call_middleware
    async def count(call: Call, call_next: Any) -> Result:
        try:
            answer: Result = await call_next()
        except CallRejected as error:
            refused.append(str(error))
            raise
        return answer

    @server.tool
    async def work() -> str:
        runs.append(1)
        while len(refused) < 63:
            await asyncio.sleep(0.01)
        return "done"

    texts = [one.text for one in crowd(kind, server, "work")]
    assert texts.count("done") == 1
    assert texts.count("work is busy: try again in a few seconds") == 63
    # Nobody has lost a place: the next one runs.
    assert Client(server).call_tool("work").text == "done"
    assert len(runs) == 2


def test_a_function_that_nobody_waits_for_still_has_its_place() -> None:
    """Under ASGI a call that is out of time is answered at once; its function may go on."""
    server, begun, release = MCPServer(), list[int](), threading.Event()
    late = "work took longer than 0.5 seconds"

    @server.tool(max_concurrency=1, timeout=0.5)
    def work() -> str:
        begun.append(1)
        release.wait(60)
        return "done"

    async def together() -> None:
        async with AsyncClient(server) as client:
            first = await client.call_tool("work")
            assert first.text == f"{late}. It is not stopped: it may still be running"
            second = asyncio.create_task(client.call_tool("work"))
            await asyncio.sleep(0.1)
            assert begun == [1]
            release.set()
            # On a busy machine, it may have no time left when it begins.
            text = (await second).text
            assert text == "done" or text.startswith(late)

    asyncio.run(together())


def test_a_place_is_given_back_after_a_failure(connect: Connect) -> None:
    server = MCPServer(max_concurrency=MaxConcurrency(1, wait=0))

    @server.tool
    def fail() -> str:
        raise KeyError

    with connect(server) as client:
        assert {client.call_tool("fail").text for _ in range(3)} == {
            "The tool 'fail' failed. The server has logged the reason."
        }


def timed(seconds: float) -> tuple[MCPServer, dict[str, Any]]:
    server, seen = MCPServer(timeout=seconds), dict[str, Any]()
    seen["release"], seen["ended"] = threading.Event(), threading.Event()

    @server.tool
    async def wait() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            seen["ended"].set()
        return "too late"

    @server.tool
    def work() -> str:
        # Under WSGI nobody but its time can release it: its client waits.
        seen["release"].wait(seconds * 2)
        seen["ended"].set()
        return "too late"

    @server.tool
    def look(ctx: SyncContext) -> str:
        while not ctx.cancelled:
            time.sleep(0.005)
        seen["left"] = ctx.seconds_left
        seen["ended"].set()
        return "too late"

    @server.tool
    def speak(ctx: SyncContext) -> str:
        while not ctx.cancelled:
            ctx.report_progress(1)
            time.sleep(0.005)
        # Nobody hears it, and it disturbs nobody.
        for number in range(1000):
            ctx.report_progress(number)
        seen["ended"].set()
        return "too late"

    @server.tool(timeout=Timeout(seconds, interrupt=True))
    def spin() -> str:
        try:
            while True:
                pass
        except Exception:
            return "an exception was caught"
        finally:
            seen["ended"].set()

    @server.tool(timeout=60)
    def quick() -> str:
        return "in time"

    @server.tool(timeout=None)
    def patient() -> str:
        time.sleep(seconds * 1.5)
        return "in time"

    return server, seen


NOT_STOPPED = ". It is not stopped: it may still be running"


@pytest.mark.parametrize(
    ("tool", "at_once", "at_its_end"),
    [
        ("wait", " and was cancelled", " and was cancelled"),
        ("work", NOT_STOPPED, ": its result was dropped"),
        ("look", NOT_STOPPED, ": its result was dropped"),
        ("speak", NOT_STOPPED, ": its result was dropped"),
        ("spin", " and is being interrupted", " and was interrupted"),
    ],
)
def test_the_client_of_a_tool_that_takes_too_long_hears_what_is_true(
    tool: str, at_once: str, at_its_end: str, connect: Connect
) -> None:
    # Long enough to begin on a loaded machine: what has not begun is not begun any more.
    server, seen = timed(0.5)
    with connect(server) as client:
        result = client.call_tool(tool)
    seen["release"].set()
    assert result.is_error
    said = result.text.removeprefix(f"{tool} took longer than 0.5 seconds")
    # A function may look at the clock just before the loop does.
    assert said in {at_once, at_its_end}
    if client_waits_for_its_thread(connect):
        assert said == at_its_end
    assert seen["ended"].wait(30)
    assert seen.get("left", 0.0) == 0.0


def client_waits_for_its_thread(connect: Connect) -> bool:
    return connect.keywords["face"].startswith("wsgi")  # type: ignore[attr-defined, no-any-return]


def test_one_that_is_in_time_is_left_alone_also_if_it_may_take_longer(connect: Connect) -> None:
    server, _ = timed(0.5)
    with connect(server) as client:
        assert client.call_tool("quick").text == "in time"
        # A tool's own word counts before the server's.
        assert client.call_tool("patient").text == "in time"


def test_a_call_that_runs_again_has_new_time(connect_stateless: Connect) -> None:
    attempts: list[float] = []
    server = MCPServer(timeout=1.0)

    @server.call_middleware
    async def retry(call: Call, call_next: Any) -> Result:
        try:
            first: Result = await call_next()
        except ConnectionError:
            await asyncio.sleep(1.1)
            first = await call_next()
        return first

    @server.tool
    def flaky(ctx: SyncContext) -> str:
        assert ctx.seconds_left is not None
        attempts.append(ctx.seconds_left)
        if len(attempts) == 1:
            raise ConnectionError
        ctx.info("again")
        return f"{ctx.cancelled}"

    with connect_stateless(server) as client:
        assert client.call_tool("flaky").text == "False"
    assert min(attempts) > 0


def sized(**options: Any) -> MCPServer:
    tools = ToolsRouter(**options)

    @tools.tool
    def echo(value: Any = None) -> Any:
        return value

    @tools.tool(max_result_bytes=None, max_argument_depth=None, max_body_bytes=None)
    async def free(value: Any = None) -> Any:
        return value

    server = MCPServer()
    server.include_router(tools)
    return server


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_arguments_that_are_nested_too_deep(connect: Connect, over_http: Any) -> None:
    server = sized(max_argument_depth=3)
    with connect(server) as client:
        assert not client.call_tool("echo", {"value": nested(2)}).is_error
        result = client.call_tool("echo", {"value": nested(3)})
        assert result.text == "The arguments are nested more than 3 levels deep"
        assert client.call_tool("echo", {"value": {"a": {"b": [1]}}}).is_error
        assert not client.call_tool("free", {"value": nested(100)}).is_error
    assert over_http(server, "echo", {"value": nested(3)}).status_code == 422


def test_a_result_that_is_too_large(connect: Connect, over_http: Any) -> None:
    server = sized(max_result_bytes=1000)
    with connect(server) as client:
        assert not client.call_tool("echo", {"value": "x" * 400}).is_error
        result = client.call_tool("echo", {"value": "x" * 1000})
        assert "more than the 1000 that may be sent. Ask for less." in result.text
        assert len(client.call_tool("free", {"value": "x" * 1000}).text) == 1000
    assert over_http(server, "echo", {"value": "x" * 1000}).status_code == 413


def test_a_body_that_is_too_large_for_a_tool(connect: Connect, over_http: Any) -> None:
    server = sized(max_body_bytes=1000)
    with connect(server) as client:
        assert not client.call_tool("echo", {"value": "x" * 100}).is_error
        assert "echo takes 1000" in client.call_tool("echo", {"value": "x" * 1000}).text
        assert not client.call_tool("free", {"value": "x" * 1000}).is_error
    assert over_http(server, "echo", {"value": "x" * 1000}).status_code == 413


@pytest.mark.parametrize(
    "options",
    [
        {"max_concurrency": 0},
        {"max_concurrency": True},
        {"timeout": 0},
        {"timeout": "5"},
        {"max_result_bytes": 0},
        {"max_argument_depth": -1},
        {"max_body_bytes": 1.5},
    ],
)
def test_what_is_no_limit_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        ToolsRouter(**options)


def test_a_coroutine_knows_how_much_time_it_has(connect_stateless: Connect) -> None:
    server = MCPServer(timeout=30)

    @server.tool
    async def left(ctx: Context) -> float:
        assert ctx.seconds_left is not None
        return ctx.seconds_left

    with connect_stateless(server) as client:
        assert 20 < client.call_tool("left").data <= 30
