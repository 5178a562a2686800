"""What declaring a tool does, in counts that noise does not change: a server may have thousands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from docstring_parser import parse

from mcp_mount import MCPServer
from mcp_mount.schemas.functions import Documentation
from mcp_mount.wire.binary import SchemaGenerator

MOST = 3_800
"""Function calls for a tool of three parameters. Pydantic makes most of them, its oldest version
3,450."""


def tool(name: str) -> Callable[..., Any]:
    def function(text: str, count: int = 3, loud: bool = False) -> str:
        """Return the text.

        Args:
            text: What.
            count: How often.
        """
        return text * count

    function.__name__ = name
    return function


def calls_of(function: Callable[[], object]) -> int:
    number = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return number


def declared(server: MCPServer, start: int, number: int) -> int:
    functions = [tool(f"tool_{one}") for one in range(start, start + number)]
    return calls_of(lambda: [server.tool(one) for one in functions]) // number


def test_a_tool_takes_few_function_calls_however_many_there_are() -> None:
    server = MCPServer("many", open=True)
    server.tool(tool("first"))
    few = declared(server, 0, 10)
    assert few < MOST
    declared(server, 10, 400)
    assert declared(server, 410, 10) <= few + 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "a"),
        (3, 3),
        (True, True),
        (None, None),
        (1.5, 1.5),
        (10**40, 10**40),
        (b"\xff", "/w=="),
        ([1, {"a": None}], [1, {"a": None}]),
        ({"b"}, ["b"]),
    ],
)
def test_defaults_are_shown_as_in_json(value: Any, shown: Any) -> None:
    def with_default(value: Any = value) -> None: ...

    server = MCPServer("defaults", open=True)
    server.tool(with_default)
    schema = server.registry.tools["with_default"].input_schema
    assert schema["properties"]["value"]["default"] == shown


def test_each_generator_has_methods_of_its_own() -> None:
    class Titled(SchemaGenerator):
        def str_schema(self, schema: Any) -> dict[str, Any]:
            return {"type": "string", "title": "mine"}

    schema: Any = {"type": "str"}
    assert SchemaGenerator().generate(schema) == {"type": "string"}
    assert Titled().generate(schema) == {"type": "string", "title": "mine"}
    assert SchemaGenerator().generate(schema) == {"type": "string"}


@pytest.mark.parametrize(
    "text",
    [
        "Say.\n\nArgs:\n    a: One.\n    b: Two,\n        and more.\n",
        "Say.\n\nArgs:\n    a: One.\n\nReturns:\n    Something.\n",
        "Say.\n\nArguments:\n    a (int): One.\n",
        "Say.\n\n:param a: One.\n",
        "Say.\n\n:param int a: One.\n:returns: Something.\n",
        "Say.\n\n@param a: One.\n",
        "Say.\n\nParameters\n----------\na : int\n    One.\n",
        "Say.\n\nParameters of this are secret.\n",
        "Say.\n\nArgs:\n    a: One.\n\n:param b: Two.\n:param c: Three.\n",
        "Say.\n\nRaises:\n    ValueError: Never.\n",
    ],
)
def test_docstrings_are_read_as_in_the_style_that_finds_most(text: str) -> None:
    def function() -> None: ...

    function.__doc__ = text
    whole = parse(text.strip())
    read = Documentation(function)
    assert read.description == (whole.description or "").strip()
    assert read.parameters == {one.arg_name: one.description for one in whole.params}
