"""The arguments of handlers: what a client sends, and what the function gets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter
from starlette.testclient import TestClient

from mcp_mount import DefinitionError, MCPServer, ToolsRouter
from mcp_mount.schemas.json_strings import read_json_strings
from tests.requests import ask, call


class Filter(BaseModel):
    ids: list[int]
    note: str = ""


@pytest.fixture
def server() -> MCPServer:
    return MCPServer("tests")


def value(result: Any) -> Any:
    assert "isError" not in result, result
    return result["structuredContent"]


# Parameters without annotation


@pytest.mark.parametrize("name", ["request", "ctx", "context"])
def test_a_parameter_that_looks_like_ours_and_has_no_annotation_is_refused(
    server: MCPServer, name: str
) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def order({name}, sku: str): return sku", namespace)
    for register in (server.tool, server.prompt):
        with pytest.raises(DefinitionError, match=f"parameter '{name}' has no annotation"):
            register(namespace["order"])
    exec(f"def read({name}): return ''", namespace)
    with pytest.raises(DefinitionError, match=f"'{name}: str'"):
        server.resource("res://one")(namespace["read"])


def test_the_refusal_says_what_to_import_and_to_write(server: MCPServer) -> None:
    def plain(ctx, a: int) -> int:  # type: ignore[no-untyped-def]
        return a

    async def coroutine(context, a: int) -> int:  # type: ignore[no-untyped-def]
        return a

    def wants_request(request, a: int) -> int:  # type: ignore[no-untyped-def]
        return a

    with pytest.raises(DefinitionError, match=r"'ctx: SyncContext' \(from mcp_mount import Sync"):
        server.tool(plain)
    with pytest.raises(
        DefinitionError, match=r"'context: Context' \(from mcp_mount import Context"
    ):
        server.tool(coroutine)
    with pytest.raises(DefinitionError, match=r"from starlette\.requests import Request"):
        server.tool(wants_request)


def test_an_argument_that_is_called_request_or_context_is_annotated(server: MCPServer) -> None:
    @server.tool
    def order(request: str, context: dict[str, int], ctx: Annotated[int, Field(ge=1)]) -> str:
        return f"{request} {context} {ctx}"

    result = call(server, "order", {"request": "a", "context": {"b": 1}, "ctx": 2})
    assert result["content"][0]["text"] == "a {'b': 1} 2"


def test_what_a_template_or_a_schema_names_is_an_argument(server: MCPServer) -> None:
    @server.resource("res://{context}")
    def read(context) -> str:  # type: ignore[no-untyped-def]
        return str(context)

    schema = {"properties": {"request": {"type": "string"}}}

    @server.tool(input_schema=schema)
    def order(request) -> str:  # type: ignore[no-untyped-def]
        return str(request)

    contents = ask(server, "resources/read", {"uri": "res://abc"})["result"]["contents"]
    assert contents[0]["text"] == "abc"
    assert call(server, "order", {"request": "a"})["content"][0]["text"] == "a"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("mcp.server.mcpserver.context", "the Context of the official SDK"),
        ("mcp.server.fastmcp.server", "the Context of the official SDK"),
        ("fastmcp.server.context", "the Context of FastMCP"),
    ],
)
@pytest.mark.parametrize("form", ["plain", "optional", "subclass"])
def test_the_context_of_another_library_is_refused(
    server: MCPServer, module: str, words: str, form: str
) -> None:
    theirs = type("Context", (), {"__module__": module})
    if form == "subclass":
        theirs = type("AppContext", (theirs,), {"__module__": "app"})
    annotation: Any = (theirs | None) if form == "optional" else theirs

    async def tool(a: int, ctx: Any) -> int:
        return a

    tool.__annotations__["ctx"] = annotation
    with pytest.raises(DefinitionError, match=f"{words}; write 'ctx: Context'"):
        server.tool(tool)


# JSON in strings


@pytest.mark.parametrize(
    ("annotation", "sent", "gets"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (list[int], '["1", 2]', [1, 2]),
        (list[list[int]], ["[1]", [2]], [[1], [2]]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Filter, '{"ids": "[1]", "note": "[2]"}', {"ids": [1], "note": "[2]"}),
        (Filter, {"ids": "[1]"}, {"ids": [1], "note": ""}),
        (list[Filter], '[{"ids": [1]}]', [{"ids": [1], "note": ""}]),
        (list[int] | None, "null", None),
        (list[int] | dict[str, int], '{"a": 1}', {"a": 1}),
        (Annotated[int, Field(strict=True)], "5", 5),
        (Literal[1, 2], "2", 2),
        (tuple[int, str], '[1, "2"]', [1, "2"]),
    ],
)
def test_json_in_a_string_is_read_where_no_string_is_wanted(
    server: MCPServer, annotation: Any, sent: Any, gets: Any
) -> None:
    def tool(given: Any) -> Any:
        return {"given": given}

    tool.__annotations__ |= {"given": annotation, "return": dict[str, annotation]}
    server.tool(tool)
    assert value(call(server, "tool", {"given": sent})) == {"given": gets}


@pytest.mark.parametrize(
    ("annotation", "sent"),
    [
        (str, "[1, 2]"),
        (str, '"quoted"'),
        (str | list[int], "[1, 2]"),
        (list[int] | str, "[1, 2]"),
        (list[str], ["[1]", "2"]),
        (list[str] | list[list[int]], ["[1]"]),
        (dict[str, str], {"a": "[1]"}),
        (Any, "[1, 2]"),
    ],
)
def test_a_string_stays_one_where_a_string_is_allowed(
    server: MCPServer, annotation: Any, sent: Any
) -> None:
    def tool(given: Any, numbers: list[int]) -> Any:
        return {"given": given, "numbers": numbers}

    tool.__annotations__ |= {"given": annotation, "return": dict[str, Any]}
    server.tool(tool)
    # The other argument needs its JSON read; this one is left alone all the same.
    sent = {"given": sent, "numbers": "[1]"}
    assert value(call(server, "tool", sent)) == {**sent, "numbers": [1]}


def test_a_string_that_is_no_json_or_not_the_right_one_is_refused(server: MCPServer) -> None:
    @server.tool
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    for sent, words in (
        ("1, 2", "numbers: Input should be a valid list"),
        ("[1, 2", "numbers: Input should be a valid list"),
        ('"[1]"', "numbers: Input should be a valid list"),
        ('{"a": 1}', "numbers: Input should be a valid list"),
        ("[1, null]", "numbers.1: Input should be a valid integer"),
        ("[" * 100_000, "numbers: Input should be a valid list"),
        ("[NaN]", "numbers: Input should be a valid list"),
    ):
        result = call(server, "add", {"numbers": sent})
        assert result["isError"] is True
        assert result["content"][0]["text"].splitlines() == ["Invalid arguments.", words]


def test_json_in_a_string_is_read_by_a_declared_schema_too(server: MCPServer) -> None:
    schema = {
        "properties": {"numbers": {"$ref": "#/$defs/numbers"}, "text": {"type": "string"}},
        "$defs": {"numbers": {"type": "array", "items": {"type": "integer"}}},
    }

    @server.tool(input_schema=schema)
    def add(numbers: Any, text: Any = "") -> str:
        return f"{sum(numbers)} {text}"

    result = call(server, "add", {"numbers": "[1, 2]", "text": "[3]"})
    assert result["content"][0]["text"] == "3 [3]"


def test_what_fits_is_validated_once(server: MCPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    @server.tool
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    def read(*arguments: Any) -> Any:
        raise AssertionError("nothing is to be read")

    monkeypatch.setattr("mcp_mount.schemas.arguments.read_json_strings", read)
    assert call(server, "add", {"numbers": [1, 2]})["content"][0]["text"] == "3"


def test_a_schema_that_refers_to_itself_is_followed_with_an_end(server: MCPServer) -> None:
    schema = {
        "properties": {"x": {"$ref": "#/$defs/x"}, "y": {"$ref": "#/$defs/y"}},
        "$defs": {
            "x": {"$ref": "#/$defs/x"},
            "y": {"anyOf": [{"$ref": "#/$defs/y"}, {"$ref": "#/$defs/y"}, {"type": "array"}]},
        },
    }
    sent = {"x": "[1]", "y": "[1]"}
    assert read_json_strings(sent, schema) is sent


class And(BaseModel):
    left: And | Or | Not
    right: And | Or | Not | None = None


class Or(BaseModel):
    left: And | Or | Not
    some: And | Or | Not | None = None


class Not(BaseModel):
    left: And | Or | Not | int


def test_recursive_unions_do_not_multiply_with_the_depth_of_a_value() -> None:
    schema = TypeAdapter(And | Or | Not).json_schema()
    tree: Any = "[1]"
    for _ in range(60):
        tree = {"left": tree}
    # It ends at all: three alternatives at each of 60 levels would never.
    read: Any = read_json_strings(tree, schema)
    for _ in range(60):
        read = read["left"]
    assert read == [1]


# Unknown arguments


def test_an_unknown_argument_is_told_with_those_that_exist_and_the_nearest(
    server: MCPServer,
) -> None:
    @server.tool
    def weather(city: str, days: int = 1) -> str:
        return city

    schema = {"properties": {"city": {"type": "string"}}}

    @server.tool(input_schema=schema)
    def climate(city: Any) -> str:
        return str(city)

    expected = "citi: unknown argument; the arguments are: city, days; did you mean 'city'?"
    assert expected in call(server, "weather", {"citi": "Rome"})["content"][0]["text"]
    expected = "toolCallId: unknown argument; the arguments are: city, days"
    sent = {"city": "Rome", "toolCallId": "1"}
    told = call(server, "weather", sent)["content"][0]["text"]
    assert told.splitlines() == ["Invalid arguments.", expected]
    told = call(server, "climate", sent)["content"][0]["text"]
    expected = "toolCallId: unknown argument; the arguments are: city"
    assert told.splitlines() == ["Invalid arguments.", expected]


@pytest.mark.parametrize("where", ["tool", "router", "server", "configured"])
def test_extra_arguments_can_be_dropped(where: str) -> None:
    options: dict[str, dict[str, Any]] = {name: {} for name in ("tool", "router", "server")}
    options.get(where, {})["extra_arguments"] = "ignore"
    tools = ToolsRouter(**options["router"])
    schema = {"properties": {"city": {"type": "string"}}, "required": ["city"]}

    @tools.tool(**options["tool"])
    def weather(city: str) -> str:
        return city

    @tools.tool(input_schema=schema, **options["tool"])
    async def climate(city: Any) -> str:
        return str(city)

    @tools.prompt(**options["tool"])
    def about(city: str) -> str:
        return city

    server = MCPServer("tests", **options["server"])
    server.include_router(tools)
    if where == "configured":
        server.configure(extra_arguments="ignore")
    sent = {"city": "Rome", "toolCallId": "1"}
    http = TestClient(server, base_url="http://localhost")
    for name in ("weather", "climate"):
        assert call(server, name, sent)["content"][0]["text"] == "Rome"
        response = http.post(f"/tools/{name}", json=sent)
        assert response.json() == "Rome"
        assert "isError" in call(server, name, {"toolCallId": "1"})
    got = ask(server, "prompts/get", {"name": "about", "arguments": sent})["result"]
    assert got["messages"][0]["content"]["text"] == "Rome"
    for tool in ask(server, "tools/list")["result"]["tools"]:
        assert tool["inputSchema"]["additionalProperties"] is True


def test_the_nearest_word_on_extra_arguments_counts() -> None:
    tools = ToolsRouter(extra_arguments="forbid")

    @tools.tool
    def strict(a: int = 0) -> str:
        return "done"

    @tools.tool(extra_arguments="ignore")
    def lenient(a: int = 0) -> str:
        return "done"

    server = MCPServer("tests", extra_arguments="ignore")
    server.include_router(tools)
    assert "b: unknown argument" in call(server, "strict", {"b": 1})["content"][0]["text"]
    assert call(server, "lenient", {"b": 1})["content"][0]["text"] == "done"
    with pytest.raises(DefinitionError, match='extra_arguments is "forbid" or "ignore"'):
        MCPServer("tests", extra_arguments="drop")
    with pytest.raises(DefinitionError, match="has no extra_arguments="):
        server.resource("res://x", extra_arguments="ignore")(lambda: "")


def test_policies_see_the_arguments_that_the_handler_gets() -> None:
    seen: list[Any] = []
    server = MCPServer("tests", extra_arguments="ignore")

    def watch(call: Any, call_next: Any) -> Any:
        seen.append(dict(call.arguments))
        return call_next()

    @server.tool(call_middleware=watch)
    def first(a: int) -> int:
        return a

    assert call(server, "first", {"a": 1, "b": 2})["content"][0]["text"] == "1"
    assert seen == [{"a": 1}]


def test_whatever_a_function_takes_by_name_is_no_extra_argument(server: MCPServer) -> None:
    @server.tool(input_schema={"properties": {"a": {"type": "integer"}}}, extra_arguments="ignore")
    def tool(**arguments: Any) -> str:
        return str(arguments)

    result = call(server, "tool", {"a": 1, "b": 2})
    assert result["content"][0]["text"] == "{'a': 1, 'b': 2}"
