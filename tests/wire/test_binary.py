"""Bytes: Base64 in JSON, both ways."""

from __future__ import annotations

import base64
import dataclasses
from typing import Annotated, Any

import pytest
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, PlainSerializer
from starlette.testclient import TestClient
from typing_extensions import TypedDict

from mcp_mount import Context, MCPServer, SyncContext, ToolsRouter
from tests.requests import Session, ask, call

RAW = b"\xff\xfe\xfb"
ENCODED = "//77"
BASE64 = {"type": "string", "contentEncoding": "base64"}


class Document(BaseModel):
    name: str = "d"
    data: bytes = b"\xf0"
    parts: list[bytes] = []
    within: Document | None = None


@dataclasses.dataclass
class Blob:
    data: bytes


class Row(TypedDict):
    data: bytes


class Hexadecimal(BaseModel):
    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    data: bytes


@pytest.fixture
def server() -> MCPServer:
    return MCPServer("tests")


def echoing(server: MCPServer, annotation: Any) -> list[Any]:
    """Register a tool that returns what it gets; what it has got."""
    got: list[Any] = []

    def echo(given: Any) -> Any:
        got.append(given)
        return given

    echo.__annotations__ |= {"given": annotation, "return": annotation}
    server.tool(echo)
    return got


@pytest.mark.parametrize(
    ("annotation", "sent", "gets"),
    [
        (bytes, ENCODED, RAW),
        (list[bytes], [ENCODED, ""], [RAW, b""]),
        (dict[str, bytes], {"a": ENCODED}, {"a": RAW}),
        (bytes | None, ENCODED, RAW),
        (Blob, {"data": ENCODED}, Blob(RAW)),
        (Row, {"data": ENCODED}, {"data": RAW}),
        (
            Document,
            {
                "name": "a",
                "data": ENCODED,
                "parts": [ENCODED],
                "within": {"name": "b", "data": ENCODED, "parts": [], "within": None},
            },
            Document(name="a", data=RAW, parts=[RAW], within=Document(name="b", data=RAW)),
        ),
        (Annotated[bytes, Field(max_length=3)], ENCODED, RAW),
    ],
)
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_bytes_are_base64_both_ways(
    server: MCPServer, annotation: Any, sent: Any, gets: Any, revision: str
) -> None:
    got = echoing(server, annotation)
    if revision == "2026-07-28":
        value = call(server, "echo", {"given": sent})["structuredContent"]
    else:
        value = Session(server, revision).call("echo", {"given": sent})["structuredContent"]
    value = value.get("result", value)
    assert got == [gets]
    assert value == sent


def test_both_schemas_say_so(server: MCPServer) -> None:
    @server.tool
    def convert(
        data: Annotated[bytes, Field(description="A file.")], document: Document
    ) -> Document:
        return document

    @server.tool
    def read() -> bytes:
        return RAW

    listed = {tool["name"]: tool for tool in ask(server, "tools/list")["result"]["tools"]}
    schema = listed["convert"]["inputSchema"]
    assert schema["properties"]["data"] == {**BASE64, "description": "A file."}
    for whole in (schema, listed["convert"]["outputSchema"]):
        properties = whole["$defs"]["Document"]["properties"]
        assert BASE64.items() <= properties["data"].items()
        assert properties["data"]["default"] == "8A=="
        assert properties["parts"]["items"] == BASE64
    assert listed["read"]["outputSchema"]["properties"] == {"result": BASE64}
    assert call(server, "read")["structuredContent"] == {"result": ENCODED}


@pytest.mark.parametrize("sent", ["__77", "//7 7\n", "/w", "/w==", "_w"])
def test_other_forms_of_base64_are_read(server: MCPServer, sent: str) -> None:
    got = echoing(server, bytes)
    call(server, "echo", {"given": sent})
    assert got[0] in (RAW, b"\xff\xfe\xfb", b"\xff")


@pytest.mark.parametrize("sent", ["***", "a", "é", 5, ["//77"]])
def test_what_is_no_base64_is_refused(server: MCPServer, sent: Any) -> None:
    got = echoing(server, bytes)
    result = call(server, "echo", {"given": sent})
    assert result["isError"] is True
    assert "given: " in result["content"][0]["text"]
    assert not got


def test_what_has_a_form_of_its_own_keeps_it(server: MCPServer) -> None:
    reverse = PlainSerializer(lambda value: value.decode()[::-1], return_type=str)

    @server.tool
    def own(
        encoded: Base64Bytes, hexadecimal: Hexadecimal, union: bytes | str
    ) -> tuple[Base64Bytes, Hexadecimal, Annotated[bytes, reverse]]:
        assert (encoded, hexadecimal.data, union) == (b"hi", RAW, "aGk=")
        return base64.b64encode(encoded), Hexadecimal(data=RAW), b"abc"

    sent = {"encoded": "aGk=", "hexadecimal": {"data": "fffefb"}, "union": "aGk="}
    result = call(server, "own", sent)
    assert "isError" not in result, result
    value = result["structuredContent"]
    assert value == {"result": ["aGk=", {"data": "fffefb"}, "cba"]}


def test_over_plain_http_and_between_handlers_they_are_the_same() -> None:
    tools, server = ToolsRouter(), MCPServer("tests")

    @tools.tool
    def read() -> bytes:
        return RAW

    @tools.tool
    def size(data: bytes) -> int:
        return len(data)

    @tools.tool
    def both(ctx: SyncContext) -> list[bool]:
        return [ctx.call_tool(read) == RAW, ctx.call_tool("read", returns=bytes) == RAW]

    @tools.tool
    async def both_async(ctx: Context) -> bool:
        return await ctx.call_tool(read) == RAW

    server.include_router(tools)
    server.pipeline("read_size", "read", "size")
    client = TestClient(server, base_url="http://localhost")
    assert client.post("/tools/read", json={}).json() == ENCODED
    assert client.post("/tools/size", json={"data": ENCODED}).json() == 3
    assert client.post("/tools/size", json={"data": "*"}).status_code == 422
    assert call(server, "both")["structuredContent"]["result"] == [True, True]
    assert call(server, "both_async")["structuredContent"]["result"] is True
    assert call(server, "read_size")["structuredContent"]["result"] == 3


def test_a_prompt_takes_bytes_as_base64(server: MCPServer) -> None:
    @server.prompt
    def about(data: bytes) -> str:
        return repr(data)

    answer = ask(server, "prompts/get", {"name": "about", "arguments": {"data": ENCODED}})
    assert answer["result"]["messages"][0]["content"]["text"] == repr(RAW)


def test_without_a_type_bytes_are_text_or_base64(server: MCPServer) -> None:
    @server.tool
    def free():  # type: ignore[no-untyped-def]
        return {"text": b"caf\xc3\xa9", "data": [RAW], "document": Document(data=b"x")}

    value = call(server, "free")["structuredContent"]
    assert (value["text"], value["data"], value["document"]["data"]) == ("café", [ENCODED], "x")
