"""Tools whose input schema was written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import DefinitionError, MCPServer, SyncContext
from tests.conformance.fixture import SCHEMA_2020_12
from tests.requests import ask, call


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer("tests")

    @server.tool(input_schema=SCHEMA_2020_12)
    def contact(ctx: SyncContext, **arguments: Any) -> dict[str, Any]:
        return arguments

    return server


def test_the_schema_is_listed_as_it_was_written(server: MCPServer) -> None:
    [tool] = ask(server, "tools/list")["result"]["tools"]
    assert tool["inputSchema"] == SCHEMA_2020_12


def test_arguments_that_fit_arrive_by_name(server: MCPServer) -> None:
    arguments = {"contactMethod": "phone", "phone": "1", "address": {"city": "Oslo"}}
    assert call(server, "contact", arguments)["structuredContent"] == arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "the arguments: 'email' is a required property"),
        ({"contactMethod": "phone", "email": "x"}, "'phone' is a required property"),
        ({"email": 3}, "email: 3 is not of type 'string'"),
        ({"email": "x", "address": {"city": 1}}, "address.city: 1 is not of type 'string'"),
        ({"email": "x", "fax": "y"}, "'fax' was unexpected"),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(
    server: MCPServer, arguments: Any, words: str
) -> None:
    result = call(server, "contact", arguments)
    assert result["isError"] is True
    assert words in result["content"][0]["text"]


def _named(a: int) -> str:
    return ""


def _anything(**arguments: Any) -> str:
    return ""


@pytest.mark.parametrize(
    ("function", "schema", "words"),
    [
        (_named, {"properties": {"a": {}, "b": {}}}, "has no parameter for b"),
        (_anything, {"type": "array"}, "must be 'object'"),
        (_anything, {"properties": {"a": {"type": "nothing"}}}, "input_schema:"),
        (_anything, {"properties": {"a": {"$ref": "https://a.example/s"}}}, "leaves input_schema"),
        (_anything, {"allOf": [{"$ref": "other.json"}]}, "leaves input_schema"),
    ],
)
def test_a_schema_that_cannot_work_is_refused(function: Any, schema: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        MCPServer().tool(input_schema=schema)(function)


def test_an_older_dialect_is_checked_by_its_own_rules() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"pair": {"type": "array", "items": [{"type": "integer"}]}},
    }
    server = MCPServer("tests")
    server.tool(name="old", input_schema=schema)(lambda pair: str(pair))
    assert call(server, "old", {"pair": [1, "x"]})["content"][0]["text"] == "[1, 'x']"
    assert call(server, "old", {"pair": ["x"]})["isError"] is True


OUTPUT = {"properties": {"n": {"type": "integer"}}, "required": ["n"], "type": "object"}


def test_a_value_is_checked_against_a_schema_that_was_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MCPServer("tests")
    server.tool(name="good", output_schema=OUTPUT)(lambda: {"n": 1})
    server.tool(name="bad", output_schema=OUTPUT)(lambda: {"n": "one"})
    assert call(server, "good")["structuredContent"] == {"n": 1}
    result = call(server, "bad")
    assert result["isError"] is True
    assert "'bad' failed" in result["content"][0]["text"]
    assert "n: 'one' is not of type 'integer'" in caplog.text


def test_an_output_schema_that_leaves_itself_is_refused() -> None:
    with pytest.raises(DefinitionError, match="leaves output_schema"):
        MCPServer().tool(output_schema={"$ref": "https://a.example/s"})(_anything)
