"""What the validation of a client's values may cost, however little the client has sent."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from mcp_mount import MCPServer
from tests.requests import call


class Both(BaseModel):
    left: Both | Either | None = None


class Either(BaseModel):
    left: Both | Either | None = None
    count: int = 0


class Add(BaseModel):
    kind: Literal["add"] = "add"
    terms: list[Annotated[Add | Take, Field(discriminator="kind")]] = []


class Take(BaseModel):
    kind: Literal["take"] = "take"
    terms: list[Annotated[Add | Take, Field(discriminator="kind")]] = []


Tree = TypeAliasType("Tree", "dict[str, Tree] | list[Tree] | int")

SCHEMA = {
    "type": "object",
    "properties": {"value": {"anyOf": [{"$ref": "#/$defs/both"}, {"$ref": "#/$defs/either"}]}},
    "$defs": {
        name: {
            "type": "object",
            "properties": {
                "left": {"anyOf": [{"$ref": "#/$defs/both"}, {"$ref": "#/$defs/either"}]},
            },
            "required": required,
        }
        for name, required in (("both", []), ("either", ["count"]))
    },
}


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer("tests", open=True)

    @server.tool
    def evaluate(value: Both | Either) -> str:
        return type(value).__name__

    @server.tool
    def calculate(value: Annotated[Add | Take, Field(discriminator="kind")]) -> str:
        return type(value).__name__

    @server.tool
    def store(value: Tree) -> str:
        return type(value).__name__

    @server.tool
    def grow(value: dict[str, list[str]]) -> int:
        return len(value)

    @server.tool(input_schema=SCHEMA)
    def look(**arguments: Any) -> int:
        return len(arguments)

    return server


def nested(depth: int, innermost: Any, name: str = "left") -> Any:
    value = innermost
    for _ in range(depth):
        value = {name: value}
    return value


def text(result: Any) -> str:
    told: str = result["content"][0]["text"]
    return told


@pytest.mark.parametrize("innermost", [{}, "wrong", {"count": "wrong"}])
@pytest.mark.parametrize("tool", ["evaluate", "look"])
def test_a_union_that_may_be_read_in_many_ways_is_not_tried_for_ever(
    server: MCPServer, tool: str, innermost: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if tool == "look":
        innermost = "wrong"
    with caplog.at_level(logging.WARNING):
        result = call(server, tool, {"value": nested(60, innermost)})
    assert result["isError"]
    assert "nest them less deep" in text(result)
    if tool == "evaluate":
        assert "evaluate" in caplog.text
        assert "discriminator" in caplog.text


def test_a_union_that_may_be_read_in_many_ways_takes_what_is_not_deep(server: MCPServer) -> None:
    assert text(call(server, "evaluate", {"value": nested(8, {"count": 1})})) == "Both"
    assert text(call(server, "look", {"value": nested(8, {})})) == "1"
    result = call(server, "evaluate", {"value": nested(3, "wrong")})
    assert "value.Both.left.Both.left.Both.left" in text(result)


def test_unions_with_a_discriminator_may_be_as_deep_as_json(server: MCPServer) -> None:
    value: Any = {"kind": "add"}
    for _ in range(60):
        value = {"kind": "take", "terms": [value]}
    assert text(call(server, "calculate", {"value": value})) == "Take"


def test_recursive_values_may_be_large(server: MCPServer) -> None:
    value = [{"numbers": list(range(100))} for _ in range(1000)]
    assert text(call(server, "store", {"value": value})) == "list"


def test_a_long_name_with_many_problems_within_does_not_fill_the_memory(server: MCPServer) -> None:
    result = call(server, "grow", {"value": {"n" * 1_000_000: [1] * 1_000_000}})
    assert result["isError"]
    assert "shorter names" in text(result)
    assert text(call(server, "grow", {"value": {"n" * 1_000: ["a"] * 1_000}})) == "1"


@pytest.mark.parametrize(
    "arguments",
    [
        {"value": {"a": [1] * 100_000}},
        {"value": {"a": [1] * 1_000}},
        {"value": {"a" * 100_000: [1] * 100}},
        {f"n{number}": 1 for number in range(5_000)},
        {"n" * 100_000: 1},
    ],
)
@pytest.mark.parametrize("tool", ["grow", "look", "store"])
def test_a_model_is_told_as_much_of_its_problems_as_it_can_read(
    server: MCPServer, tool: str, arguments: dict[str, Any]
) -> None:
    result = call(server, tool, arguments)
    assert len(text(result)) < 150_000
