"""Tools: from a function to its definition, the validation of arguments, and the result."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import mcp_types
import pytest
from PIL import Image as PILImage
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from mcp_mount import (
    Audio,
    Context,
    DefinitionError,
    File,
    Image,
    MCPServer,
    SyncContext,
    ToolError,
    ToolsRouter,
)
from tests.requests import Session, ask, call


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Address(BaseModel):
    city: str
    code: int = 0


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Options(TypedDict, total=False):
    depth: int


class Node(BaseModel):
    name: str
    children: list[Node] = []


@pytest.fixture
def server() -> MCPServer:
    return MCPServer("tests")


def definition(server: MCPServer, name: str) -> Any:
    tools = ask(server, "tools/list")["result"]["tools"]
    return next(tool for tool in tools if tool["name"] == name)


def text(result: Any) -> str:
    [block] = result["content"]
    assert block["type"] == "text"
    return str(block["text"])


# Definitions


def test_a_bare_decorator_leaves_the_function_as_it_is(server: MCPServer) -> None:
    @server.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    assert add(1, 2) == 3
    assert definition(server, "add") == {
        "name": "add",
        "description": "Add two numbers.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        "outputSchema": {
            "type": "object",
            "properties": {"result": {"type": "integer"}},
            "required": ["result"],
            "x-fastmcp-wrap-result": True,
        },
    }


def test_a_decorator_with_arguments_describes_the_tool(server: MCPServer) -> None:
    @server.tool(
        name="sum.of-two",
        title="Sum",
        description="Adds.",
        annotations=mcp_types.ToolAnnotations(read_only_hint=True),
        icons=["https://example.org/i.png", mcp_types.Icon(src="data:,", mime_type="image/png")],
        output_schema=False,
        meta={"example.org/team": "maths"},
    )
    def add(a: int, b: int) -> int:
        return a + b

    assert definition(server, "sum.of-two") == {
        "name": "sum.of-two",
        "title": "Sum",
        "description": "Adds.",
        "annotations": {"readOnlyHint": True},
        "icons": [
            {"src": "https://example.org/i.png"},
            {"src": "data:,", "mimeType": "image/png"},
        ],
        "_meta": {"example.org/team": "maths"},
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize("decorate", [lambda s: s.tool("named"), lambda s: s.tool(name="named")])
def test_a_name_may_be_given_by_position(server: MCPServer, decorate: Any) -> None:
    decorate(server)(lambda: "x")
    assert text(call(server, "named")) == "x"


def test_older_revisions_see_the_fields_that_they_have(server: MCPServer) -> None:
    @server.tool(title="Ten", icons=["https://example.org/i.png"], annotations={"title": "T"})
    def ten() -> int:
        return 10

    def fields(version: str) -> set[str]:
        [tool] = Session(server, version).ask("tools/list")["result"]["tools"]
        return set(tool)

    assert fields("2025-03-26") == {"name", "inputSchema", "annotations"}
    assert fields("2025-06-18") == {"name", "inputSchema", "annotations", "title", "outputSchema"}
    assert fields("2025-11-25") == fields("2025-06-18") | {"icons"}


@pytest.mark.parametrize(
    "docstring",
    [
        """Find things.

        Args:
            query: What to look for.
        """,
        """Find things.

        :param query: What to look for.
        """,
        """Find things.

        Parameters
        ----------
        query : str
            What to look for.
        """,
    ],
)
def test_the_docstring_describes_parameters(server: MCPServer, docstring: str) -> None:
    def find(query: str) -> str:
        return query

    find.__doc__ = docstring
    server.tool(find)
    tool = definition(server, "find")
    assert tool["description"] == "Find things."
    assert tool["inputSchema"]["properties"]["query"]["description"] == "What to look for."


def test_a_field_describes_its_parameter_before_the_docstring_does(server: MCPServer) -> None:
    @server.tool
    def find(query: Annotated[str, Field(description="Mine", max_length=3)] = "a") -> str:
        """Find.

        Args:
            query: Not mine.
        """
        return query

    schema = definition(server, "find")["inputSchema"]["properties"]["query"]
    assert schema == {"type": "string", "description": "Mine", "maxLength": 3, "default": "a"}


def test_every_kind_of_callable_can_be_a_tool(server: MCPServer) -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def increase(self, by: int) -> int:
            """Count."""
            self.count += by
            return self.count

    class Greeter:
        """Greets."""

        def __call__(self, name: str) -> str:
            return f"Hello {name}"

    class AsyncGreeter:
        async def __call__(self, name: str) -> str:
            return f"Hi {name}"

    async def multiply(a: int, b: int) -> int:
        return a * b

    counter = Counter()
    server.tool(counter.increase)
    server.tool(Greeter())
    server.tool(AsyncGreeter())
    server.tool(name="double")(functools.partial(multiply, 2))
    assert call(server, "increase", {"by": 2})["structuredContent"]["result"] == 2
    assert text(call(server, "Greeter", {"name": "Ada"})) == "Hello Ada"
    assert text(call(server, "AsyncGreeter", {"name": "Ada"})) == "Hi Ada"
    assert call(server, "double", {"b": 4})["structuredContent"]["result"] == 8
    assert definition(server, "Greeter")["description"] == "Greets."


# Definition errors


class Unserialisable:
    pass


def _unserialisable_parameter(thing: Unserialisable) -> str:
    return ""


def _unserialisable_result() -> Unserialisable:
    return Unserialisable()


def _generator() -> Any:
    yield 1


def _wrong_context(ctx: Context) -> str:
    return ""


async def _wrong_async_context(ctx: SyncContext) -> str:
    return ""


def _unknown_type(thing: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    return ""


def _context_by_position(ctx: SyncContext, *rest: int) -> str:
    return ""


def _two_contexts(a: SyncContext, b: SyncContext) -> str:
    return ""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_unserialisable_parameter, ["parameter 'thing'", "Unserialisable"]),
        (_unserialisable_result, ["return type", "Unserialisable"]),
        (_generator, ["is a generator"]),
        (_wrong_context, ["'ctx: SyncContext', not 'ctx: Context'"]),
        (_wrong_async_context, ["'ctx: Context', not 'ctx: SyncContext'"]),
        (_unknown_type, ["Nowhere"]),
        (_context_by_position, ["must be keyword-only"]),
        (_two_contexts, ["more than one context"]),
    ],
)
def test_a_definition_error_is_raised_at_registration(
    server: MCPServer, function: Any, words: list[str]
) -> None:
    with pytest.raises(DefinitionError) as caught:
        server.tool(function)
    for word in [function.__qualname__, "test_tools.py", *words]:
        assert word in str(caught.value)
    assert ask(server, "tools/list")["result"]["tools"] == []


@pytest.mark.parametrize("name", ["", "with space", "a/b", "ü", "x" * 129, "line\n"])
def test_a_bad_name_is_refused(server: MCPServer, name: str) -> None:
    with pytest.raises(DefinitionError, match="is no tool name"):
        server.tool(name=name)(lambda: "x")


def test_a_duplicate_names_both_functions() -> None:
    tools = ToolsRouter()

    @tools.tool
    def twice() -> str:
        return "first"

    with pytest.raises(DefinitionError, match=r"already defined by .*twice"):

        @tools.tool(name="twice")
        def again() -> str:
            return "second"


def test_something_that_is_no_function_is_refused(server: MCPServer) -> None:
    with pytest.raises(TypeError, match="expected a function or a name"):
        server.tool(3)  # type: ignore[call-overload]


# Arguments


def test_arguments_arrive_as_the_signature_says(server: MCPServer) -> None:
    seen: dict[str, Any] = {}

    @server.tool
    def take(
        address: Address,
        point: Point,
        options: Options,
        colour: Colour,
        when: datetime.date,
        either: int | list[str],
        tree: Node,
        mode: Literal["a", "b"] = "a",
        *,
        maybe: float | None = None,
    ) -> None:
        seen.update(locals())

    result = call(
        server,
        "take",
        {
            "address": {"city": "Oslo"},
            "point": {"x": 1, "y": 2},
            "options": {"depth": 3},
            "colour": "blue",
            "when": "2026-07-28",
            "either": ["x"],
            "tree": {"name": "a", "children": [{"name": "b"}]},
        },
    )
    assert result["content"] == [{"type": "text", "text": "null"}]
    seen.pop("seen")
    assert seen == {
        "address": Address(city="Oslo"),
        "point": Point(1, 2),
        "options": {"depth": 3},
        "colour": Colour.BLUE,
        "when": datetime.date(2026, 7, 28),
        "either": ["x"],
        "tree": Node(name="a", children=[Node(name="b")]),
        "mode": "a",
        "maybe": None,
    }


def test_bad_arguments_are_told_to_the_model(server: MCPServer) -> None:
    @server.tool
    def move(to: Address, speed: Annotated[int, Field(le=10)] = 1) -> str:
        return "moved"

    result = call(server, "move", {"to": {"city": 3}, "speed": 11, "sped": 1})
    assert result["isError"] is True
    assert text(result).splitlines() == [
        "Invalid arguments.",
        "to.city: Input should be a valid string",
        "speed: Input should be less than or equal to 10",
        "sped: unknown argument; the arguments are: to, speed; did you mean 'speed'?",
    ]
    assert "to: missing, but required" in text(call(server, "move"))


def test_a_tool_without_parameters_takes_no_arguments(server: MCPServer) -> None:
    server.tool(name="now")(lambda: "12:00")
    result = call(server, "now", {"zone": "UTC"})
    assert text(result).endswith("zone: unknown argument; the arguments are: none")


def test_variadic_parameters_are_arguments_by_their_names(server: MCPServer) -> None:
    @server.tool
    def collect(*numbers: int, **values: int) -> tuple[list[int], dict[str, int]]:
        return list(numbers), values

    properties = definition(server, "collect")["inputSchema"]["properties"]
    assert properties["numbers"] == {"type": "array", "items": {"type": "integer"}}
    assert properties["values"]["additionalProperties"] == {"type": "integer"}
    result = call(server, "collect", {"numbers": [1, 2], "values": {"a": 3}})
    assert result["structuredContent"]["result"] == [[1, 2], {"a": 3}]
    assert call(server, "collect", {"a": 3})["isError"] is True


@pytest.mark.parametrize(
    "signature",
    [
        "ctx: SyncContext, a: int, b: int = 2",
        "a: int, ctx: SyncContext, b: int = 2",
        "a: int, b: int = 2, *, ctx: SyncContext",
        "a: int, *rest: int, b: int = 2, ctx: SyncContext",
        "a: int, /, b: int = 2, *, ctx: SyncContext",
        "a: int, b: int = 2, ctx: SyncContext | None = None",
    ],
)
def test_the_context_may_stand_anywhere(server: MCPServer, signature: str) -> None:
    names: dict[str, Any] = {"SyncContext": SyncContext}
    exec(f"def place({signature}): return [a, b, ctx.request_id]", names)
    server.tool(names["place"])
    assert {"a", "b"} <= set(definition(server, "place")["inputSchema"]["properties"])
    assert text(call(server, "place", {"a": 1})) == "[1,2,1]"
    assert text(call(server, "place", {"a": 1, "b": 3})) == "[1,3,1]"


def test_annotations_may_be_strings_with_names_of_a_factory(server: MCPServer) -> None:
    from mcp_mount import SyncContext as Speaker

    class Local(BaseModel):
        n: int

    @server.tool
    def factory_made(local: Local, ctx: Speaker) -> Local:
        return local

    assert call(server, "factory_made", {"local": {"n": 1}})["structuredContent"] == {"n": 1}


# Results


@pytest.mark.parametrize(
    ("annotation", "value", "structured", "words"),
    [
        (int, 3, {"result": 3}, "3"),
        (float, 0.5, {"result": 0.5}, "0.5"),
        (bool, False, {"result": False}, "false"),
        (list[int], [1, 2], {"result": [1, 2]}, "[1,2]"),
        (Address, Address(city="a"), {"city": "a", "code": 0}, '{"city":"a","code":0}'),
        (Point, Point(1, 2), {"x": 1, "y": 2}, '{"x":1,"y":2}'),
        (Options, {"depth": 1}, {"depth": 1}, '{"depth":1}'),
        (dict[str, int], {"a": 1}, {"a": 1}, '{"a":1}'),
        (int | None, None, {"result": None}, "null"),
        (Address | None, None, {"result": None}, "null"),
        (Address | None, Address(city="a"), {"result": {"city": "a", "code": 0}}, None),
        (Address | Point, Point(1, 2), {"result": {"x": 1, "y": 2}}, None),
        (None, None, {"result": None}, "null"),
        (str, 'ä "b"', {"result": 'ä "b"'}, 'ä "b"'),
        (str | None, "a", {"result": "a"}, "a"),
        (datetime.date, datetime.date(2026, 7, 28), {"result": "2026-07-28"}, "2026-07-28"),
        (Colour, Colour.RED, {"result": "red"}, "red"),
    ],
)
def test_a_value_is_structured_content_and_text_in_every_revision(
    server: MCPServer, annotation: Any, value: Any, structured: Any, words: str | None
) -> None:
    def give() -> Any:
        return value

    give.__annotations__ = {"return": annotation}
    server.tool(give)
    result = call(server, "give")
    assert result["structuredContent"] == structured
    assert "isError" not in result
    assert words is None or result["content"] == [{"type": "text", "text": words}]
    for version in ("2025-11-25", "2025-06-18"):
        older = Session(server, version).call("give")
        assert older["structuredContent"] == structured
        assert older["content"] == result["content"]
    oldest = Session(server, "2025-03-26").call("give")
    assert oldest == {"content": result["content"]}


def test_the_output_schema_is_that_of_an_object_in_every_revision(server: MCPServer) -> None:
    @server.tool
    def places() -> list[Address]:
        return []

    schema = definition(server, "places")["outputSchema"]
    nested = {"type": "array", "items": {"$ref": "#/$defs/Address"}}
    assert schema["properties"] == {"result": nested}
    assert (schema["type"], schema["required"]) == ("object", ["result"])
    assert schema["x-fastmcp-wrap-result"] is True
    assert set(schema["$defs"]) == {"Address"}
    [older] = Session(server, "2025-06-18").ask("tools/list")["result"]["tools"]
    assert older["outputSchema"] == schema


def test_a_model_that_refers_to_itself_is_an_object_and_not_wrapped(server: MCPServer) -> None:
    @server.tool
    def root() -> Tree:
        return Tree(name="a", children=[Tree(name="b")])

    schema = definition(server, "root")["outputSchema"]
    assert schema["type"] == "object"
    assert "x-fastmcp-wrap-result" not in schema
    structured = call(server, "root")["structuredContent"]
    assert (structured["name"], structured["children"][0]["name"]) == ("a", "b")
    jsonschema.validate(structured, schema)


def test_a_schema_of_ones_own_that_is_of_no_object_is_wrapped(server: MCPServer) -> None:
    @server.tool(output_schema={"type": "array", "items": {"type": "integer"}})
    def numbers() -> Any:
        return [1, 2]

    assert definition(server, "numbers")["outputSchema"]["properties"]["result"]["type"] == "array"
    assert call(server, "numbers")["structuredContent"] == {"result": [1, 2]}


@pytest.mark.parametrize(("value", "words"), [(5, "5"), (None, "null"), ([1], "[1]")])
def test_a_function_that_says_str_and_returns_something_else_gives_its_text(
    server: MCPServer, value: Any, words: str
) -> None:
    @server.tool
    def give() -> str:
        return value  # type: ignore[no-any-return]

    result = call(server, "give")
    assert result["content"] == [{"type": "text", "text": words}]
    assert result["structuredContent"] == {"result": words}


def test_a_function_that_says_str_may_return_an_image(server: MCPServer) -> None:
    @server.tool
    def give() -> str:
        return Image(data=b"\x89PNG")  # type: ignore[return-value]

    result = call(server, "give")
    assert [block["type"] for block in result["content"]] == ["image"]
    assert result["structuredContent"] == {"result": ""}


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, [{"type": "text", "text": "null"}]),
        ("words", [{"type": "text", "text": "words"}]),
        (7, [{"type": "text", "text": "7"}]),
        ([1, "a"], [{"type": "text", "text": '[1,"a"]'}]),
        ([], [{"type": "text", "text": "[]"}]),
    ],
)
def test_a_value_without_annotation_becomes_content(
    server: MCPServer, value: Any, content: Any
) -> None:
    server.tool(name="give")(lambda: value)
    result = call(server, "give")
    assert result["content"] == content
    assert "structuredContent" not in result


@pytest.mark.parametrize("value", [{"city": "a", "code": 0}, Address(city="a"), Point(1, 2)])
def test_an_object_without_annotation_is_structured_all_the_same(
    server: MCPServer, value: Any
) -> None:
    server.tool(name="give")(lambda: value)
    structured = call(server, "give")["structuredContent"]
    assert structured in ({"city": "a", "code": 0}, {"x": 1, "y": 2})
    assert "outputSchema" not in definition(server, "give")


def test_media_from_bytes_a_path_and_a_picture(server: MCPServer, tmp_path: Path) -> None:
    picture = PILImage.new("RGB", (2, 2))
    path = tmp_path / "dot.gif"
    picture.save(path)

    @server.tool
    def media() -> list[Image | Audio]:
        return [
            Image(picture),
            Image(path),
            Image(data=b"\xff\xd8\xff...", format="jpeg"),
            Audio(b"RIFF\x00\x00\x00\x00WAVE"),
            Audio(data=b"???", format="audio/flac"),
        ]

    blocks = call(server, "media")["content"]
    assert [(one["type"], one["mimeType"]) for one in blocks] == [
        ("image", "image/png"),
        ("image", "image/gif"),
        ("image", "image/jpeg"),
        ("audio", "audio/wav"),
        ("audio", "audio/flac"),
    ]
    assert base64.b64decode(blocks[1]["data"]) == path.read_bytes()


def test_files_go_as_text_or_as_base64(server: MCPServer, tmp_path: Path) -> None:
    text_path = tmp_path / "an note.txt"
    text_path.write_text("hello")

    @server.tool
    def files() -> list[File]:
        return [
            File(text_path),
            File(data=b"\x00\xff", name="a.bin"),
            File(data="x", name="b.md"),
            File(data=b"\xff", name="c.txt"),
        ]

    resources = [one["resource"] for one in call(server, "files")["content"]]
    assert resources[0] == {
        "uri": "file:///an%20note.txt",
        "mimeType": "text/plain",
        "text": "hello",
    }
    assert resources[1] == {
        "uri": "file:///a.bin",
        "mimeType": "application/octet-stream",
        "blob": "AP8=",
    }
    assert resources[2]["text"] == "x"
    assert resources[3] == {"uri": "file:///c.txt", "mimeType": "text/plain", "blob": "/w=="}


@pytest.mark.parametrize("arguments", [{}, {"source": "a", "data": b""}, {"source": 3}])
def test_media_wants_exactly_one_source(arguments: Any) -> None:
    with pytest.raises(TypeError):
        Image(**arguments)


def test_a_mixed_list_keeps_its_order(server: MCPServer) -> None:
    @server.tool
    def report() -> list[Any]:
        link = mcp_types.ResourceLink(type="resource_link", uri="file:///a", name="a")
        return ["Intro", Image(b"\x89PNG\r\n\x1a\n"), link, {"n": 1}]

    blocks = call(server, "report")["content"]
    assert [one["type"] for one in blocks] == ["text", "image", "resource_link", "text"]
    assert blocks[2] == {"type": "resource_link", "uri": "file:///a", "name": "a"}
    assert blocks[3]["text"] == '{"n":1}'


def test_a_whole_result_is_passed_on(server: MCPServer) -> None:
    @server.tool
    def whole() -> mcp_types.CallToolResult:
        block = mcp_types.TextContent(type="text", text="partly")
        return mcp_types.CallToolResult(
            content=[block], structured_content={"a": 1}, is_error=True, _meta={"x/y": 1}
        )

    result = call(server, "whole")
    assert result["content"] == [{"type": "text", "text": "partly"}]
    assert result["structuredContent"] == {"a": 1}
    assert result["isError"] is True
    assert result["_meta"]["x/y"] == 1
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "tests"


def test_a_declared_schema_takes_the_place_of_the_annotation(server: MCPServer) -> None:
    @server.tool(output_schema=Address)
    def by_type() -> Any:
        return {"city": "a"}

    @server.tool(output_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    def by_schema() -> Any:
        return {"n": 1}

    assert call(server, "by_type")["structuredContent"] == {"city": "a", "code": 0}
    assert call(server, "by_schema")["structuredContent"] == {"n": 1}
    assert definition(server, "by_schema")["outputSchema"]["properties"] == {
        "n": {"type": "integer"}
    }


# Failures


def test_a_tool_error_is_told_to_the_model(server: MCPServer) -> None:
    @server.tool
    def refuse() -> int:
        raise ToolError("Try another day.")

    result = call(server, "refuse")
    assert (text(result), result["isError"]) == ("Try another day.", True)


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), SystemExit(3)])
def test_any_other_exception_is_logged_and_kept_from_the_client(
    server: MCPServer, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    @server.tool
    def crash() -> int:
        raise error

    answer = ask(server, "tools/call", {"name": "crash", "arguments": {}})
    assert "secret" not in str(answer)
    assert "Traceback" not in str(answer)
    assert caplog.records[-1].exc_info is not None


def test_a_result_that_breaks_its_promise_is_an_error(
    server: MCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    @server.tool
    def promise() -> int:
        return "not a number"  # type: ignore[return-value]

    result = call(server, "promise")
    assert result["isError"] is True
    assert "not a number" not in text(result)
    assert "Tool 'promise' failed" in caplog.text


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("readonlyhint", "readOnlyHint"),
        ("readOnly", "readOnlyHint"),
        ("read_only_hint", "readOnlyHint"),
        ("readOnlyHnt", "readOnlyHint"),
        ("destructive", "destructiveHint"),
        ("idempotencyHint", "idempotentHint"),
        ("openworldHint", "openWorldHint"),
        ("Title", "title"),
    ],
)
def test_a_misspelt_hint_is_refused(key: str, meant: str) -> None:
    with pytest.raises(DefinitionError, match=f"no hint '{key}'; did you mean '{meant}'"):
        MCPServer().tool(name="one", annotations={key: True})(lambda: 1)


@pytest.mark.parametrize("hints", [{"readOnlyHint": "yes"}, {"title": 5}, {"idempotentHint": 2}])
def test_a_hint_of_another_kind_is_refused(hints: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"annotations\['\w+'\] is "):
        MCPServer().tool(name="one", annotations=hints)(lambda: 1)


def test_other_keys_beside_hints_stay() -> None:
    own = {"title": "One", "readOnlyHint": True, "x-cost": 3, "audience": ["user"], "title_de": "E"}
    server = MCPServer()
    server.tool(name="one", annotations=own)(lambda: 1)
    assert server.registry.tools["one"].definition()["annotations"] == own
