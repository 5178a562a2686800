"""Values that JSON does not have: NaN, infinities and lone surrogates, on every way out."""

from __future__ import annotations

import dataclasses
import enum
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import mcp_types
import pytest
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel, computed_field
from starlette.testclient import TestClient
from typing_extensions import TypedDict

from mcp_mount import (
    CompletionsRouter,
    Context,
    DefinitionError,
    ImageRouter,
    MCPServer,
    Message,
    ProtocolError,
    SyncContext,
    ToolError,
    ToolsRouter,
)
from mcp_mount.protocol import Request
from mcp_mount.testing import Client
from mcp_mount.wire.errors import INTERNAL_ERROR
from tests.requests import Session, ask, call, meta, stateless

NAN = float("nan")
INF = float("inf")
LONE = "a\ud800b"
REPLACED = "a\ufffdb"


class Reading(BaseModel):
    value: float
    unit: str = "m"
    before: float | None = None


@dataclasses.dataclass
class Point:
    x: float


class Row(TypedDict):
    x: float


class Odd(enum.Enum):
    A = NAN


class Root(RootModel[float]):
    pass


class Textual(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    value: float


class Computed(BaseModel):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float:
        return INF


def strict(body: bytes) -> Any:
    """Decode JSON as clients of other languages do: NaN is none."""

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} on the wire")

    return json.loads(body, parse_constant=refuse)


def reading() -> Reading:
    return Reading(value=NAN)


def nested() -> list[dict[str, Reading]]:
    return [{"a": Reading(value=1.0)}, {"a": Reading(value=-INF)}]


def bare() -> float:
    return INF


def optional() -> float | None:
    return NAN


def rows() -> list[Row]:
    return [{"x": NAN}]


def point() -> Point:
    return Point(NAN)


def anything() -> Any:
    return {"a": [1.0, NAN]}


def unannotated():  # type: ignore[no-untyped-def]
    return {"a": {"b": INF}}


def unannotated_model():  # type: ignore[no-untyped-def]
    return Reading(value=NAN)


def unannotated_list():  # type: ignore[no-untyped-def]
    return [NAN]


def model_in_dict():  # type: ignore[no-untyped-def]
    return {"a": Reading(value=NAN)}


def in_structured_content() -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=[], structured_content={"a": NAN})


def in_meta() -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=[], _meta={"a": NAN})


def in_a_block() -> mcp_types.TextContent:
    return mcp_types.TextContent(type="text", text="NaN", _meta={"a": NAN})


async def coroutine() -> float:
    return NAN


def in_a_deque() -> deque[float]:
    return deque([NAN])


def in_an_iterator() -> Iterable[float]:
    return iter([1.0, NAN])


def in_an_enum() -> Any:
    return Odd.A


def in_a_root() -> Root:
    return Root(NAN)


def as_text() -> Textual:
    """By its schema, a number."""
    return Textual(value=NAN)


def computed() -> Computed:
    return Computed()


WAYS_OUT: list[Callable[..., Any]] = [
    reading,
    nested,
    bare,
    optional,
    rows,
    point,
    anything,
    unannotated,
    unannotated_model,
    unannotated_list,
    model_in_dict,
    in_structured_content,
    in_meta,
    in_a_block,
    coroutine,
    in_a_deque,
    in_an_iterator,
    in_an_enum,
    in_a_root,
    as_text,
    computed,
]


@pytest.mark.parametrize("function", WAYS_OUT, ids=lambda function: function.__name__)
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25", "2025-03-26"])
def test_a_result_with_nan_or_an_infinity_is_a_failure_that_says_so(
    function: Callable[..., Any], revision: str
) -> None:
    server = MCPServer("tests")
    server.tool(function)
    name = function.__name__
    if revision == "2026-07-28":
        result = call(server, name)
    else:
        result = Session(server, revision).call(name)
    assert result["isError"] is True
    [block] = result["content"]
    assert f"The tool '{name}' failed. The value has NaN or an infinity" in block["text"]
    assert "structuredContent" not in result


@pytest.mark.parametrize("function", WAYS_OUT, ids=lambda function: function.__name__)
def test_over_plain_http_such_a_result_is_a_failure_that_says_so(
    function: Callable[..., Any],
) -> None:
    tools = ToolsRouter()
    tools.tool(function)
    server = MCPServer("tests")
    server.include_router(tools)
    client = TestClient(server, base_url="http://localhost")
    response = client.post(f"/tools/{function.__name__}", json={})
    assert response.status_code == 500
    assert "has NaN or an infinity" in response.json()["detail"]


def test_the_failure_names_the_place() -> None:
    server = MCPServer("tests")
    server.tool(nested)
    assert "an infinity at 1.a.value, which" in call(server, "nested")["content"][0]["text"]


def test_what_only_looks_like_nan_goes_through() -> None:
    server = MCPServer("tests")

    @server.tool
    def words() -> list[str | None]:
        return ["NaN", "Infinity", None]

    @server.tool
    def chosen() -> dict[str, Annotated[float, PlainSerializer(lambda value: None)]]:
        return {"a": NAN}

    @server.tool
    def present() -> Reading:
        return Reading(value=1.5)

    @server.tool
    def free():  # type: ignore[no-untyped-def]
        return {"NaN": None, "a": Reading(value=2)}

    assert call(server, "words")["structuredContent"]["result"] == ["NaN", "Infinity", None]
    assert call(server, "chosen")["structuredContent"] == {"a": None}
    assert call(server, "present")["structuredContent"]["before"] is None
    assert call(server, "free")["structuredContent"]["a"]["value"] == 2


def test_resources_and_prompts_say_so() -> None:
    server = MCPServer("tests")

    @server.resource("res://number")
    def number() -> Any:
        return {"a": NAN}

    @server.resource("res://model")
    def model() -> Any:
        return Reading(value=NAN)

    @server.prompt
    def about() -> Any:
        return Message({"a": NAN})

    for method, params in (
        ("resources/read", {"uri": "res://number"}),
        ("resources/read", {"uri": "res://model"}),
        ("prompts/get", {"name": "about"}),
    ):
        error = ask(server, method, params)["error"]
        assert error["code"] == -32603
        assert "has NaN or an infinity" in error["message"]


def test_an_error_does_not_fail_over_its_data() -> None:
    server = MCPServer("tests")

    @server.resource("res://one")
    def one() -> str:
        raise ProtocolError(INTERNAL_ERROR, LONE, data={"a": NAN})

    error = ask(server, "resources/read", {"uri": "res://one"})["error"]
    assert error == {"code": -32603, "message": REPLACED}


def test_what_a_handler_says_while_it_runs_says_so() -> None:
    server = MCPServer("tests")

    class Form(BaseModel):
        amount: float = NAN

    @server.tool
    def log(ctx: SyncContext) -> str:
        ctx.info({"a": NAN})
        return "logged"

    @server.tool
    async def progress(ctx: Context) -> str:
        await ctx.report_progress(1, INF)
        return "reported"

    @server.tool
    def form(ctx: SyncContext) -> str:
        ctx.elicit("How much?", Form)
        return "asked"

    @server.tool
    async def sample(ctx: Context) -> str:
        await ctx.sample("Say", temperature=NAN)
        return "asked"

    capabilities: dict[str, Any] = {"elicitation": {}, "sampling": {}}
    own = {
        **meta(capabilities=capabilities),
        "progressToken": 1,
        "io.modelcontextprotocol/logLevel": "debug",
    }
    for name in ("log", "progress", "form", "sample"):
        headers, body = stateless("tools/call", {"name": name, "arguments": {}, "_meta": own})
        reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
        result = strict(reply.body)["result"]  # type: ignore[union-attr]
        assert "has NaN or an infinity" in result["content"][0]["text"], name
        assert result["isError"] is True


@pytest.mark.parametrize("way", ["result", "progress"])
def test_a_task_says_so(way: str) -> None:
    server = MCPServer("tests", secret_key="k")

    @server.tool(task=True)
    def job(ctx: SyncContext) -> float:
        if way == "progress":
            ctx.report_progress(NAN)
        return NAN

    with Client(server) as client:
        result = client.call_tool("job")
    assert "has NaN or an infinity" in result.text


def test_definitions_have_no_infinite_bounds_and_defaults() -> None:
    server = MCPServer("tests")

    @server.tool
    def measure(value: float = NAN, limit: Annotated[float, Field(le=INF)] = 1.0) -> Reading:
        return Reading(value=1)

    [tool] = ask(server, "tools/list")["result"]["tools"]
    assert tool["inputSchema"]["properties"] == {
        "value": {"type": "number"},
        "limit": {"type": "number", "default": 1.0},
    }
    with pytest.raises(DefinitionError, match=r"has NaN or an infinity at _meta\.a"):
        server.tool("other", meta={"a": NAN})(measure)
    schema = {"properties": {"value": {"maximum": INF}}}
    with pytest.raises(DefinitionError, match=r"input_schema: .* NaN or an infinity"):
        server.tool("another", input_schema=schema)(measure)


def test_a_schema_that_json_cannot_carry_is_refused_when_it_is_registered() -> None:
    server = MCPServer("tests")

    def odd() -> Odd:
        return Odd.A

    with pytest.raises(DefinitionError, match="NaN or an infinity"):
        server.tool(odd)
    assert ask(server, "tools/list")["result"]["tools"] == []


# Lone surrogates


def surrogate_text() -> str:
    return LONE


def surrogate_list() -> list[str]:
    return [LONE]


def surrogate_dict() -> dict[str, str]:
    return {"a": LONE}


def surrogate_unannotated():  # type: ignore[no-untyped-def]
    return {"a": LONE}


def surrogate_error() -> str:
    raise ToolError(LONE)


def surrogate_block() -> mcp_types.TextContent:
    return mcp_types.TextContent(type="text", text=LONE)


def surrogate_point() -> Any:
    return dataclasses.asdict(Point(1.0)) | {"name": LONE}


@pytest.mark.parametrize(
    "function",
    [
        surrogate_text,
        surrogate_list,
        surrogate_dict,
        surrogate_unannotated,
        surrogate_error,
        surrogate_block,
        surrogate_point,
    ],
    ids=lambda function: function.__name__,
)
def test_lone_surrogates_in_a_result_are_replaced_with_a_warning(
    function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    tools = ToolsRouter()
    tools.tool(function)
    server = MCPServer("tests")
    server.include_router(tools)
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        result = call(server, function.__name__)
    assert REPLACED in result["content"][0]["text"]
    assert "lone surrogates" in caplog.text
    assert r"'a\ud800b'" in caplog.text
    client = TestClient(server, base_url="http://localhost")
    response = client.post(f"/tools/{function.__name__}", json={})
    assert response.status_code == (400 if function is surrogate_error else 200)
    assert REPLACED in response.text


def test_a_pair_of_surrogates_becomes_its_character() -> None:
    server = MCPServer("tests")

    @server.tool
    def smile() -> str:
        return "\ud83d\ude00\ud800"

    assert call(server, "smile")["content"][0]["text"] == "\U0001f600\ufffd"


def test_keys_of_dicts_are_replaced_too() -> None:
    server = MCPServer("tests")

    @server.tool
    def typed() -> dict[str, int]:
        return {LONE: 1}

    @server.tool
    def free() -> Any:
        return {LONE: Reading(value=1)}

    # By pydantic itself, and without a warning: one for each byte.
    assert call(server, "typed")["structuredContent"] == {"a\ufffd\ufffd\ufffdb": 1}
    assert list(call(server, "free")["structuredContent"]) == [REPLACED]


def test_prompts_resources_and_what_handlers_say_are_replaced_too() -> None:
    server = MCPServer("tests")

    @server.resource("res://text")
    def text(ctx: SyncContext) -> str:
        return LONE

    @server.resource("res://data")
    def data() -> Any:
        return {"a": LONE}

    @server.prompt(title=LONE)
    def about() -> str:
        return LONE

    @server.tool
    def log(ctx: SyncContext) -> str:
        ctx.info(LONE)
        ctx.report_progress(1, message=LONE)
        return "done"

    read = ask(server, "resources/read", {"uri": "res://text"})["result"]
    assert read["contents"][0]["text"] == REPLACED
    read = ask(server, "resources/read", {"uri": "res://data"})["result"]
    assert json.loads(read["contents"][0]["text"]) == {"a": REPLACED}
    got = ask(server, "prompts/get", {"name": "about"})["result"]
    assert got["messages"][0]["content"]["text"] == REPLACED
    assert ask(server, "prompts/list")["result"]["prompts"][0]["title"] == REPLACED
    with Client(server, log_level="info") as client:
        result = client.call_tool("log")
    assert result.logs == [("info", REPLACED)]


def test_chat_completions_are_replaced_too() -> None:
    server, chat = MCPServer("tests"), CompletionsRouter()

    @chat.chat
    def model(request: Any) -> str:
        return LONE

    server.include_router(chat)
    client = TestClient(server, base_url="http://localhost")
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.json()["choices"][0]["message"]["content"] == REPLACED
    streamed = client.post("/v1/chat/completions", json={**body, "stream": True})
    assert REPLACED in streamed.text


def test_a_request_with_a_lone_surrogate_is_answered_with_its_id() -> None:
    server = MCPServer("tests")
    session = Session(server, "2025-11-25")
    headers, _ = stateless("tools/call", {"name": "x"})
    bodies = [
        (rb'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":"\ud800"}}', 7),
        (b'{"jsonrpc":"2.0","id":"x","method":"ping","params":{"a":"\xed\xa0\x80"}}', "x"),
        (rb'{"jsonrpc":"2.0","id":"\ud800","method":"ping"}', None),
        (rb'[{"jsonrpc":"2.0","id":7,"method":"\ud800"}]', None),
    ]
    for body, message_id in bodies:
        for own in (headers, session.headers):
            reply = server.core.wsgi_endpoint.respond_to(Request("POST", own, body))
            assert reply.status == 400  # type: ignore[union-attr]
            error = json.loads(reply.body)  # type: ignore[union-attr]
            assert error.get("id") == message_id
            assert error["error"]["code"] == -32600
            assert "lone surrogate" in error["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tools/echo", rb'{"text":"\ud800"}'),
        ("/v1/chat/completions", rb'{"a":"\ud800"}'),
        ("/v1/chat/completions", rb'{"messages":"\ud800"}'),
        ("/v1/chat/completions", b'{"messages":NaN}'),
        ("/v1/images/generations", rb'{"prompt":"\ud800"}'),
        ("/v1/images/generations", b'{"prompt":Infinity}'),
    ],
)
def test_no_face_fails_over_a_lone_surrogate_or_nan(path: str, body: bytes) -> None:
    server, tools = MCPServer("tests"), ToolsRouter()

    @tools.tool
    def echo(text: str) -> str:
        return text

    for router in (tools, CompletionsRouter(), ImageRouter()):
        server.include_router(router)
    client = TestClient(server, base_url="http://localhost")
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    said = response.json()
    assert said.get("detail") or said["error"]["message"]
