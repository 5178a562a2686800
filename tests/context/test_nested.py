"""Handlers that call other handlers, and pipelines of tools."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import mcp_types
import pytest
from pydantic import BaseModel

from mcp_mount import (
    Cache,
    Context,
    DefinitionError,
    Image,
    MCPServer,
    SyncContext,
    ToolError,
    ToolsRouter,
)
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.testing import Client
from tests.faces import Connect

READER, WRITER = "reader-has-this-api-key", "writer-has-this-api-key"


class Order(BaseModel):
    number: int
    total: int


def build(**options: Any) -> MCPServer:
    tools = ToolsRouter()

    @tools.tool
    def find_order(number: int) -> Order:
        return Order(number=number, total=number * 10)

    @tools.tool
    async def find_order_async(number: int) -> Order:
        await asyncio.sleep(0)
        return Order(number=number, total=number * 10)

    @tools.tool
    def describe(order: Order) -> str:
        return f"Order {order.number} costs {order.total}"

    @tools.tool(scopes="write")
    def delete(number: int) -> str:
        return f"deleted {number}"

    @tools.tool
    def fail() -> str:
        raise ToolError("It is closed")

    @tools.tool
    def crash() -> str:
        raise KeyError("secret detail")

    finders = {"plain": find_order, "coroutine": find_order_async}

    @tools.tool
    async def typed(ctx: Context, kind: str) -> str:
        order = await ctx.call_tool(finders[kind], {"number": 7})
        assert isinstance(order, Order)
        return f"{order.total}"

    @tools.tool
    def typed_plain(ctx: SyncContext, kind: str) -> str:
        order = ctx.call_tool(finders[kind], {"number": 7})
        assert isinstance(order, Order)
        return f"{order.total}"

    @tools.tool(output_schema=False)
    async def by_name(ctx: Context, name: str, arguments: dict[str, Any]) -> Any:
        return repr(await ctx.call_tool(name, arguments))

    @tools.tool(output_schema=False)
    def by_name_plain(ctx: SyncContext, name: str, arguments: dict[str, Any]) -> Any:
        return repr(ctx.call_tool(name, arguments))

    @tools.tool
    async def returns(ctx: Context) -> int:
        order = await ctx.call_tool("find_order", {"number": 7}, returns=Order)
        return order.total

    @tools.tool
    def rest(ctx: SyncContext) -> str:
        [content] = ctx.read_resource("text://ada")
        [message] = ctx.get_prompt("greet", {"name": "Ada"})
        return f"{content.content} {content.mime_type} {message['content']['text']}"

    @tools.tool
    async def rest_async(ctx: Context) -> str:
        [content] = await ctx.read_resource("bytes://ada")
        [message] = await ctx.get_prompt("greet", {"name": "Ada"})
        return f"{content.content!r} {message['role']}"

    server = MCPServer(**options)
    server.include_router(tools)

    @server.resource("text://{name}")
    def text(name: str) -> str:
        return f"text of {name}"

    @server.resource("bytes://{name}")
    async def data(name: str) -> bytes:
        return name.encode()

    @server.prompt
    def greet(name: str) -> str:
        return f"Greet {name}"

    return server


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("tool", ["typed", "typed_plain"])
def test_any_kind_calls_any_other_and_gets_its_type(tool: str, kind: str, connect: Connect) -> None:
    with connect(build()) as client:
        assert client.call_tool(tool, {"kind": kind}).text == "70"


@pytest.mark.parametrize("tool", ["by_name", "by_name_plain"])
def test_by_name_values_are_as_in_json(tool: str, connect: Connect) -> None:
    def call(name: str, arguments: Any) -> Any:
        return client.call_tool(tool, {"name": name, "arguments": arguments})

    with connect(build()) as client:
        assert call("find_order", {"number": 7}).text == "{'number': 7, 'total': 70}"
        assert call("describe", {"order": {"number": 1, "total": 2}}).text == ("'Order 1 costs 2'")
        assert call("fail", {}).text == "It is closed"
        # Nothing of its exception gets out.
        assert call("crash", {}).text == (
            "The tool 'crash' failed. The server has logged the reason."
        )
        assert call("unknown", {}).text == "Unknown tool: unknown"
        assert call("find_order", {"number": "x"}).text.startswith("Invalid arguments.")


def test_a_type_may_be_given(connect: Connect) -> None:
    with connect(build()) as client:
        assert client.call_tool("returns").text == "70"


def test_resources_and_prompts(connect: Connect) -> None:
    with connect(build()) as client:
        assert client.call_tool("rest").text == "text of ada text/plain Greet Ada"
        assert client.call_tool("rest_async").text == "b'ada' user"


@pytest.mark.parametrize("tool", ["by_name", "by_name_plain"])
def test_the_rules_of_the_called_hold_for_the_same_caller(tool: str, connect: Connect) -> None:
    keys = APIKeys([APIKey("reader", READER), APIKey("writer", WRITER, scopes="write")])
    server = build(auth=keys)
    arguments = {"name": "delete", "arguments": {"number": 7}}
    with connect(server, headers={"x-api-key": WRITER}) as client:
        assert client.call_tool(tool, arguments).text == "'deleted 7'"
    with connect(server, headers={"x-api-key": READER}) as client:
        assert client.call_tool(tool, arguments).text == (
            "The caller may not do this: The access token must be good for: write"
        )


def test_over_plain_http_as_well(over_http: Any) -> None:
    assert over_http(build(), "typed", {"kind": "plain"}).json() == "70"
    assert over_http(build(), "typed_plain", {"kind": "coroutine"}).status_code == 200


def test_circles_and_depths_are_refused(connect: Connect) -> None:
    server = MCPServer()

    @server.tool
    async def ping(ctx: Context) -> str:
        return str(await ctx.call_tool("pong"))

    @server.tool
    def pong(ctx: SyncContext) -> str:
        return str(ctx.call_tool("ping"))

    def step(number: int) -> Any:
        async def go(ctx: Context) -> str:
            return str(await ctx.call_tool(f"step{number + 1}"))

        return go

    for number in range(10):
        server.add_tool(step(number), name=f"step{number}")
    with connect(server) as client:
        assert client.call_tool("ping").text == "'ping' calls itself: ping → pong → ping"
        assert client.call_tool("step0").text.startswith("More than 8 handlers call one another:")
        assert client.call_tool("step9").text == "Unknown tool: step10"


def test_policies_of_the_called_hold(connect_stateless: Connect) -> None:
    runs: list[int] = []
    server = MCPServer()

    @server.tool(throttle="3/minute", cache=Cache(60))
    def price(sku: str) -> int:
        runs.append(1)
        return len(sku)

    @server.tool
    async def total(ctx: Context, skus: list[str]) -> int:
        return sum([await ctx.call_tool(price, {"sku": sku}) for sku in skus])

    with connect_stateless(server) as client:
        assert client.call_tool("total", {"skus": ["a", "a", "bb"]}).data == 4
        assert len(runs) == 2
        assert "price was called too often" in client.call_tool("total", {"skus": ["c"]}).text


def test_what_the_called_says_reaches_the_client(connect: Connect) -> None:
    server = MCPServer()

    @server.tool
    def inner_plain(ctx: SyncContext) -> str:
        ctx.info("plain speaks")
        return "done"

    @server.tool
    async def inner(ctx: Context) -> str:
        await ctx.info("coroutine speaks")
        await ctx.report_progress(1)
        return "done"

    @server.tool
    async def outer(ctx: Context) -> str:
        await ctx.report_progress(1)
        await ctx.call_tool(inner)
        return await ctx.call_tool(inner_plain)

    with connect(server, log_level="info") as client:
        result = client.call_tool("outer")
    said = [one["params"]["data"] for one in result.notifications if "data" in one["params"]]
    assert "coroutine speaks" in said
    # The progress is that of the outer call alone.
    assert result.progress == [1]


def test_the_called_may_ask_the_person_each_time_anew(connect: Connect) -> None:
    class Name(BaseModel):
        name: str

    server = MCPServer()

    @server.tool
    async def ask(ctx: Context, about: str) -> str:
        answer = await ctx.elicit(f"Who is the {about}?", Name)
        assert answer.data is not None
        return answer.data.name

    @server.tool
    async def both(ctx: Context) -> str:
        first = await ctx.call_tool(ask, {"about": "first"})
        own = await ctx.elicit("Who are you?", Name)
        second = await ctx.call_tool(ask, {"about": "second"})
        return f"{first} {own.data.name if own.data else None} {second}"

    def answer(question: Any) -> dict[str, str]:
        return {"name": question["message"].split()[-1]}

    with connect(server, elicit=answer) as client:
        assert client.call_tool("both").text == "first? you? second?"


def test_under_wsgi_plain_tools_stay_on_the_thread_of_the_request() -> None:
    threads: list[int] = []
    server = MCPServer()

    @server.tool
    def inner() -> str:
        threads.append(threading.get_ident())
        return "done"

    @server.tool
    def outer(ctx: SyncContext) -> str:
        threads.append(threading.get_ident())
        return ctx.call_tool(inner)

    with Client(server) as client:
        client.call_tool("outer")
    assert set(threads) == {threading.get_ident()}


def pipelines() -> MCPServer:
    server = build()
    server.pipeline("summarise", "find_order", "describe")
    server.pipeline(
        "summarise_async",
        "find_order_async",
        ("describe", lambda order: {"order": {**order, "total": 0}}),
        title="Free",
    )
    server.pipeline("remove", "find_order", ("delete", lambda order: {"number": order["number"]}))
    return server


def test_a_pipeline_hands_values_on(connect: Connect) -> None:
    with connect(pipelines()) as client:
        assert client.call_tool("summarise", {"number": 7}).text == "Order 7 costs 70"
        assert client.call_tool("summarise_async", {"number": 7}).text == "Order 7 costs 0"
        assert client.call_tool("summarise", {"number": "x"}).text.startswith("Invalid arguments.")
        listed = {tool["name"]: tool for tool in client.list_tools()}
    schema = listed["summarise"]["inputSchema"]
    assert schema["properties"] == {"number": {"type": "integer"}}
    assert listed["summarise"]["description"] == "Calls find_order, then describe."


def test_the_rules_of_each_tool_hold_in_a_pipeline(connect_stateless: Connect) -> None:
    with connect_stateless(pipelines()) as client:
        assert "The caller may not do this" in client.call_tool("remove", {"number": 7}).text


def test_a_pipeline_has_the_type_of_its_last_tool(connect_stateless: Connect) -> None:
    server = MCPServer()

    @server.tool
    def double(number: int) -> int:
        return number * 2

    @server.tool
    async def order(number: int) -> Order:
        return Order(number=number, total=1)

    server.pipeline("both", double, double, order)
    with connect_stateless(server) as client:
        assert client.call_tool("both", {"number": 2}).data == {"number": 8, "total": 1}
        [both] = [tool for tool in client.list_tools() if tool["name"] == "both"]
    assert both["outputSchema"]["properties"].keys() == {"number", "total"}


@pytest.mark.parametrize("stages", [(), ("find_order",), ("find_order", "unknown"), (len, len)])
def test_what_is_no_pipeline_is_refused(stages: Any) -> None:
    with pytest.raises(DefinitionError):
        build().pipeline("broken", *stages)


@pytest.mark.parametrize("is_async", [False, True])
def test_what_another_tool_draws_is_passed_on(connect: Connect, is_async: bool) -> None:
    server = MCPServer()

    @server.tool
    def chart() -> Image:
        return Image(data=b"\x89PNG\r\n\x1a\n")

    @server.tool
    def both() -> mcp_types.CallToolResult:
        text = mcp_types.TextContent(text="drawn")
        return mcp_types.CallToolResult(
            content=[text], structured_content={"bars": 3}, _meta={"x/y": 1}
        )

    if is_async:

        @server.tool
        async def report(ctx: Context) -> Any:
            return await ctx.call_tool("chart")

        @server.tool
        async def whole(ctx: Context) -> Any:
            return await ctx.call_tool("both", returns=mcp_types.CallToolResult)
    else:

        @server.tool
        def report(ctx: SyncContext) -> Any:
            return ctx.call_tool("chart")

        @server.tool
        def whole(ctx: SyncContext) -> Any:
            return ctx.call_tool("both", returns=mcp_types.CallToolResult)

    with connect(server) as client:
        [block] = client.call_tool("report").content
        assert (block["type"], block["mimeType"]) == ("image", "image/png")
        result = client.call_tool("whole")
        assert (result.text, result.meta["x/y"]) == ("drawn", 1)
        assert result.structured == {"bars": 3}


def test_the_progress_of_another_tool_is_told_where_the_caller_tells_none(
    connect: Connect,
) -> None:
    server = MCPServer()

    @server.tool
    async def count(ctx: Context) -> str:
        for number in (1, 2, 3):
            await ctx.report_progress(number, 3)
        return "counted"

    @server.tool
    async def once(ctx: Context) -> str:
        return await ctx.call_tool(count)

    @server.tool
    async def twice(ctx: Context) -> str:
        await ctx.call_tool(count)
        return await ctx.call_tool(count)

    with connect(server) as client:
        assert client.call_tool("once").progress == [1, 2, 3]
        # It must grow: the second run tells nothing that the first has not told.
        assert client.call_tool("twice").progress == [1, 2, 3]
