"""Functions of unusual kinds as handlers: what works, and what is refused at registration."""

from __future__ import annotations

import asyncio
import datetime
import functools
from typing import Annotated, Any

import attrs
import pytest
from pydantic import BaseModel, ConfigDict, Strict

from mcp_mount import Context, DefinitionError, MCPServer
from mcp_mount.testing import Client


class StrictOrder(BaseModel):
    model_config = ConfigDict(strict=True)
    due: datetime.date
    label: bytes = b""


def test_strict_models_take_dates_as_json_has_them() -> None:
    server = MCPServer("shop", open=True)

    @server.tool
    def model(order: StrictOrder) -> str:
        return f"{order.due!r} {order.label!r}"

    @server.tool
    def parameter(due: Annotated[datetime.date, Strict()]) -> str:
        return repr(due)

    with Client(server) as client:
        order = {"due": "2026-07-28", "label": "aGk="}
        assert client.call_tool("model", {"order": order}).text == (
            "datetime.date(2026, 7, 28) b'hi'"
        )
        assert client.call_tool("parameter", {"due": "2026-07-28"}).text == (
            "datetime.date(2026, 7, 28)"
        )
        assert "order.due" in client.call_tool("model", {"order": {"due": 7}}).text


def test_a_method_that_is_registered_in_the_body_of_its_class_is_refused() -> None:
    server = MCPServer("shop")
    with pytest.raises(DefinitionError, match="nobody gives it 'self'"):

        class Shop:
            @server.tool
            def order(self, number: int) -> str:
                return ""

    with pytest.raises(DefinitionError, match="nobody gives it 'self'"):

        class Other:
            @server.prompt
            def ask(self, number: int) -> str:
                return ""

    assert not server.registry.tools


def test_methods_of_objects_and_static_methods_are_tools() -> None:
    server = MCPServer("shop", open=True)

    class Shop:
        @server.tool
        @staticmethod
        def still(number: int) -> str:
            return str(number)

        def order(self, number: int) -> str:
            return str(number)

    server.tool(Shop().order)
    with Client(server) as client:
        assert client.call_tool("still", {"number": 1}).text == "1"
        assert client.call_tool("order", {"number": 2}).text == "2"


def test_a_plain_function_that_wraps_a_coroutine_function_passes_it_on() -> None:
    server = MCPServer("shop", open=True)

    async def inner(number: int, ctx: Context) -> str:
        await asyncio.sleep(0)
        return str(number)

    @functools.wraps(inner)
    def passing(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    async def other(number: int) -> str:
        await asyncio.sleep(0)
        return str(number)

    @functools.wraps(other)
    def running(*args: Any, **kwargs: Any) -> str:
        return asyncio.run(other(*args, **kwargs))

    server.tool(passing)
    server.tool(running)
    with Client(server) as client:
        assert client.call_tool("inner", {"number": 1}).text == "1"
        assert client.call_tool("other", {"number": 2}).text == "2"


class Plain:
    number: int


@attrs.define
class Attrs:
    number: int


@pytest.mark.parametrize("kind", [Plain, Attrs])
def test_classes_without_a_json_form_are_refused_with_the_name(kind: type) -> None:
    server = MCPServer("shop")

    def takes(order: Any) -> str:
        return ""

    def gives() -> Any: ...

    takes.__annotations__["order"] = gives.__annotations__["return"] = kind
    with pytest.raises(DefinitionError, match=f"parameter 'order' has the type .*{kind.__name__}"):
        server.tool(takes)
    with pytest.raises(DefinitionError, match=f"the return type .*{kind.__name__}.* no JSON form"):
        server.tool(gives)
