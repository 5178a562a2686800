"""Checks of a tool beyond its types."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import Context, DefinitionError, MCPServer, ToolError, ToolsRouter
from tests.faces import Connect


def in_stock(sku: str, amount: int) -> None:
    if amount > 3:
        raise ValueError(f"There are only 3 of {sku}")


async def not_forbidden(sku: str) -> None:
    if sku == "gun":
        raise ToolError("Not for sale")


def not_too_dear(total: int, sku: str) -> None:
    if total > 25:
        raise ValueError(f"{sku} is too dear: {total}")


def build() -> MCPServer:
    tools = ToolsRouter()

    @tools.tool(check=in_stock, check_result=not_too_dear)
    def order(sku: str, amount: int = 1) -> int:
        return amount * 10

    @tools.tool(check=[in_stock, not_forbidden], check_result=[not_too_dear])
    async def order_async(ctx: Context, sku: str, amount: int = 1) -> int:
        await ctx.info("ordering")
        return amount * 10

    server = MCPServer()
    server.include_router(tools)
    return server


@pytest.mark.parametrize("tool", ["order", "order_async"])
def test_checks_refuse_in_their_own_words(tool: str, connect: Connect) -> None:
    with connect(build()) as client:
        assert client.call_tool(tool, {"sku": "pen", "amount": 2}).text == "20"
        assert client.call_tool(tool, {"sku": "pen"}).text == "10"
        refused = client.call_tool(tool, {"sku": "pen", "amount": 4})
        assert (refused.is_error, refused.text) == (True, "There are only 3 of pen")
        dear = client.call_tool(tool, {"sku": "pen", "amount": 3})
        assert (dear.is_error, dear.text) == (True, "pen is too dear: 30")
        # The types come first.
        assert "Invalid arguments" in client.call_tool(tool, {"sku": "pen", "amount": "x"}).text
    with connect(build()) as client:
        assert client.call_tool("order_async", {"sku": "gun"}).text == "Not for sale"


def test_over_plain_http_as_well(over_http: Any) -> None:
    response = over_http(build(), "order", {"sku": "pen", "amount": 4})
    assert (response.status_code, response.json()["detail"]) == (400, "There are only 3 of pen")


def test_the_schema_is_that_of_the_tool() -> None:
    tool = build().registry.tools["order"]
    assert list(tool.arguments.schema["properties"]) == ["sku", "amount"]
    assert tool.output.schema == {"type": "integer"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"check": lambda colour: None}, "wants colour, which"),
        ({"check": not_forbidden}, "the checks of a plain function are plain functions"),
        ({"check": "in_stock"}, "a check is a function, not 'in_stock'"),
        ({"check_result": lambda: None}, "must take the value that it checks"),
    ],
)
def test_what_is_no_check_is_refused(options: dict[str, Any], words: str) -> None:
    server = MCPServer()
    with pytest.raises(DefinitionError, match=words):
        server.add_tool(lambda sku: sku, name="order", **options)


def test_a_router_has_none() -> None:
    with pytest.raises(DefinitionError, match="a router has no check="):
        ToolsRouter(check=in_stock)
