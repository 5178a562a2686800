"""Call middleware: three forms, around plain functions and coroutines, on every face."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mcp_mount import (
    Call,
    Context,
    DefinitionError,
    MCPRouter,
    MCPServer,
    Result,
    SyncContext,
    ToolError,
    ToolsRouter,
)
from tests.faces import Connect


def forms(name: str, seen: list[str]) -> dict[str, Any]:
    """The same middleware in its three forms."""

    async def coroutine(call: Call, call_next: Any) -> Result:
        seen.append(f"{name} before {call.name}")
        await asyncio.sleep(0)
        result: Result = await call_next()
        await asyncio.sleep(0)
        seen.append(f"{name} after")
        return result

    def plain(call: Call, call_next: Any) -> Result:
        seen.append(f"{name} before {call.name}")
        result: Result = call_next()
        seen.append(f"{name} after")
        return result

    def generator(call: Call) -> Any:
        seen.append(f"{name} before {call.name}")
        result = yield
        seen.append(f"{name} after")
        return result

    return {"coroutine": coroutine, "plain": plain, "generator": generator}


FORMS = ("coroutine", "plain", "generator")


def add_tools(where: Any, seen: list[str]) -> None:
    @where.tool
    def add(a: int, b: int) -> int:
        seen.append("add")
        return a + b

    @where.tool
    async def add_async(a: int, b: int) -> int:
        await asyncio.sleep(0)
        seen.append("add_async")
        return a + b


@pytest.mark.parametrize("outer", FORMS)
@pytest.mark.parametrize("inner", FORMS)
@pytest.mark.parametrize("tool", ["add", "add_async"])
def test_any_form_stands_around_any_tool(
    outer: str, inner: str, tool: str, connect_stateless: Connect
) -> None:
    seen: list[str] = []
    server = MCPServer()
    server.call_middleware(forms("outer", seen)[outer])
    server.call_middleware(forms("inner", seen)[inner])
    add_tools(server, seen)
    with connect_stateless(server) as client:
        assert client.call_tool(tool, {"a": 2, "b": 3}).data == 5
    assert seen == [
        f"outer before {tool}",
        f"inner before {tool}",
        tool,
        "inner after",
        "outer after",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_server_router_and_tool_in_this_order(form: str, connect: Connect) -> None:
    seen: list[str] = []
    tools = ToolsRouter(call_middleware=forms("router", seen)[form])
    outer = MCPRouter(call_middleware=[forms("outer router", seen)[form]])

    @tools.tool(call_middleware=forms("tool", seen)[form])
    def add(a: int, b: int) -> int:
        return a + b

    server = MCPServer(call_middleware=forms("server", seen)[form])
    outer.include_router(tools)
    server.include_router(outer)
    with connect(server) as client:
        assert client.call_tool("add", {"a": 2, "b": 3}).text == "5"
    names = ["server", "outer router", "router", "tool"]
    assert seen == [f"{name} before add" for name in names] + [
        f"{name} after" for name in reversed(names)
    ]


def test_it_sees_what_the_tool_raised_and_may_answer_itself(connect_stateless: Connect) -> None:
    raised: list[Exception] = []
    server = MCPServer()

    @server.call_middleware
    async def catch(call: Call, call_next: Any) -> Result:
        try:
            result: Result = await call_next()
        except (ToolError, ZeroDivisionError) as error:
            raised.append(error)
            return call.encode(-1)
        return result

    @server.tool
    def divide(a: int, b: int) -> int:
        return a // b

    @server.tool
    def refuse() -> int:
        raise ToolError("no")

    with connect_stateless(server) as client:
        assert client.call_tool("divide", {"a": 1, "b": 0}).data == -1
        assert client.call_tool("refuse").data == -1
    assert [type(one) for one in raised] == [ZeroDivisionError, ToolError]


@pytest.mark.parametrize("form", FORMS)
def test_it_may_refuse_a_call_before_its_handler_runs(form: str, connect: Connect) -> None:
    seen: list[str] = []

    async def coroutine(call: Call, call_next: Any) -> Result:
        raise ToolError("Not on Sundays")

    def plain(call: Call, call_next: Any) -> Result:
        raise ToolError("Not on Sundays")

    def generator(call: Call) -> Any:
        raise ToolError("Not on Sundays")
        yield

    forms = {"coroutine": coroutine, "plain": plain, "generator": generator}
    server = MCPServer(call_middleware=forms[form])
    add_tools(server, seen)
    with connect(server) as client:
        result = client.call_tool("add", {"a": 1, "b": 2})
    assert (result.is_error, result.text, seen) == (True, "Not on Sundays", [])


def test_it_may_change_the_arguments(connect_stateless: Connect) -> None:
    server = MCPServer()

    @server.call_middleware
    def double(call: Call) -> Any:
        call.arguments = {**call.arguments, "a": call.arguments["a"] * 2}
        return (yield)

    add_tools(server, [])
    with connect_stateless(server) as client:
        assert client.call_tool("add", {"a": 2, "b": 3}).data == 7
        # They are validated afterwards.
        assert (
            "a: Input should be a valid integer" in client.call_tool("add", {"a": "x", "b": 3}).text
        )


def test_it_may_call_again(connect_stateless: Connect) -> None:
    attempts: list[int] = []
    server = MCPServer(max_concurrency=4, timeout=5)

    @server.call_middleware
    async def retry(call: Call, call_next: Any) -> Result:
        for _ in range(2):
            try:
                first: Result = await call_next()
                return first
            except ConnectionError:
                pass
        last: Result = await call_next()
        return last

    @server.tool
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError
        return len(attempts)

    with connect_stateless(server) as client:
        assert client.call_tool("flaky").data == 3


def test_prompts_and_resources_have_it_as_well(connect: Connect) -> None:
    seen: list[str] = []
    server = MCPServer(call_middleware=forms("server", seen)["generator"])

    @server.prompt
    def greet() -> str:
        return "Hello"

    @server.resource("text://{name}")
    def text(name: str) -> str:
        return name

    with connect(server) as client:
        client.get_prompt("greet")
        client.read_resource("text://ada")
    assert seen[::2] == ["server before greet", "server before text://ada"]


def test_a_plain_middleware_runs_where_the_plain_tool_runs() -> None:
    """Under WSGI that is the request's own thread, whatever coroutine stands around."""
    from mcp_mount.testing import Client

    threads: list[int] = []
    server = MCPServer()

    @server.call_middleware
    async def outer(call: Call, call_next: Any) -> Result:
        assert threading.get_ident() != threads[0]
        result: Result = await call_next()
        return result

    @server.call_middleware
    def inner(call: Call, call_next: Any) -> Result:
        threads.append(threading.get_ident())
        result: Result = call_next()
        return result

    @server.tool
    def where() -> int:
        threads.append(threading.get_ident())
        return 0

    threads.append(threading.get_ident())
    with Client(server) as client:
        client.call_tool("where")
    assert len(set(threads)) == 1


def test_what_a_tool_says_passes_through(connect: Connect) -> None:
    seen: list[str] = []
    server = MCPServer(call_middleware=list(forms("server", seen).values()))

    @server.tool
    async def slow(ctx: Context) -> str:
        await ctx.report_progress(1)
        await ctx.report_progress(2)
        return "done"

    @server.tool
    def slow_plain(ctx: SyncContext) -> str:
        ctx.report_progress(1)
        ctx.report_progress(2)
        return "done"

    with connect(server) as client:
        for tool in ("slow", "slow_plain"):
            result = client.call_tool(tool)
            assert (result.text, result.progress) == ("done", [1, 2])


def test_a_question_passes_through(connect: Connect) -> None:
    from pydantic import BaseModel

    class Sure(BaseModel):
        sure: bool

    seen: list[str] = []
    server = MCPServer(call_middleware=list(forms("server", seen).values()))

    @server.tool
    async def drop(ctx: Context) -> str:
        answer = await ctx.elicit("Sure?", Sure)
        return str(answer.data)

    with connect(server, elicit=lambda question: {"sure": True}) as client:
        assert client.call_tool("drop").text == "sure=True"


async def _asynchronous_generator(call: Call) -> Any:
    yield


@pytest.mark.parametrize(
    ("middleware", "words"),
    [
        (lambda: None, r"its parameters must be \(call, call_next\)"),
        (7, "call middleware is a function, not 7"),
        (_asynchronous_generator, "is an asynchronous generator: write a coroutine"),
    ],
)
def test_what_is_no_middleware_is_refused(middleware: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        MCPServer(call_middleware=middleware)


def test_a_forgotten_result_is_told_to_the_developer(
    connect_stateless: Connect, caplog: Any
) -> None:
    server = MCPServer()

    @server.call_middleware
    async def forgetful(call: Call, call_next: Any) -> Any:
        await call_next()

    add_tools(server, [])
    with connect_stateless(server) as client:
        assert client.call_tool("add", {"a": 1, "b": 2}).is_error
    assert "call middleware returns what await call_next() gave" in caplog.text


def test_a_forgotten_await_and_a_forgotten_return_are_told_in_the_words_of_their_form(
    connect_stateless: Connect, caplog: Any
) -> None:
    async def no_await(call: Call, call_next: Any) -> Any:
        return call_next()

    def no_return(call: Call) -> Any:
        yield

    for middleware, words in (
        (no_await, "call middleware returns what await call_next() gave"),
        (no_return, "call middleware returns what its yield gave"),
    ):
        server = MCPServer(call_middleware=middleware)
        add_tools(server, [])
        with connect_stateless(server) as client:
            assert client.call_tool("add", {"a": 1, "b": 2}).is_error
        assert words in caplog.text


def test_nothing_is_added_after_the_first_call() -> None:
    from mcp_mount.testing import Client

    server = MCPServer()
    add_tools(server, [])
    with Client(server) as client:
        client.call_tool("add", {"a": 1, "b": 2})
    with pytest.raises(RuntimeError, match="before the first call"):
        server.call_middleware(forms("late", [])["plain"])


def test_a_log_of_a_failure_shows_the_tool_and_not_the_way_to_it(
    connect_stateless: Connect, caplog: Any
) -> None:
    server = MCPServer(call_middleware=list(forms("server", []).values()))

    @server.tool
    def broken() -> int:
        raise KeyError("lost")

    with connect_stateless(server) as client:
        assert client.call_tool("broken").is_error
    [record] = [one for one in caplog.records if one.exc_info]
    trace = caplog.text[caplog.text.index("Traceback") :]
    assert "KeyError: 'lost'" in trace
    assert "driving.py" not in trace
    assert record.getMessage() == "Tool 'broken' failed"


def test_without_policies_nothing_stands_around_a_call() -> None:
    server = MCPServer()
    tools = ToolsRouter()
    add_tools(tools, [])
    server.include_router(tools)
    assert all(tool.policies.chain == () for tool in server.registry.tools.values())
