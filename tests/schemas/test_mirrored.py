"""Parameters that are mirrored into headers."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from mcp_mount import DefinitionError, McpHeader, MCPServer
from mcp_mount.protocol import Request
from tests.requests import Session, ask, stateless


class Target(BaseModel):
    zone: Annotated[str, McpHeader("Zone")] = ""


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer("tests")

    @server.tool
    def query(
        region: Annotated[str, McpHeader("Region")],
        limit: Annotated[int, McpHeader("Limit")] = 10,
        dry: Annotated[bool, McpHeader("Dry-Run")] = False,
    ) -> str:
        return f"{region} {limit} {dry}"

    return server


def call(server: MCPServer, arguments: dict[str, Any], **headers: str) -> tuple[int, Any]:
    own, body = stateless("tools/call", {"name": "query", "arguments": arguments}, **headers)
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", own, body))
    return reply.status, json.loads(reply.body)  # type: ignore[union-attr]


def encoded(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def test_the_schema_names_the_header(server: MCPServer) -> None:
    [tool] = ask(server, "tools/list")["result"]["tools"]
    assert tool["inputSchema"]["properties"]["region"] == {
        "type": "string",
        "x-mcp-header": "Region",
    }


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {"mcp_param_region": "eu"}),
        ({"region": "Köln"}, {"mcp_param_region": encoded("Köln")}),
        ({"region": " padded "}, {"mcp_param_region": encoded(" padded ")}),
        ({"region": ""}, {"mcp_param_region": ""}),
        ({"region": "eu", "limit": 42}, {"mcp_param_region": "eu", "mcp_param_limit": "42"}),
        ({"region": "eu", "limit": 42}, {"mcp_param_region": "eu", "mcp_param_limit": "42.0"}),
        ({"region": "eu", "limit": -7}, {"mcp_param_region": "eu", "mcp_param_limit": "-7"}),
        ({"region": "eu", "dry": True}, {"mcp_param_region": "eu", "mcp_param_dry_run": "true"}),
    ],
)
def test_a_header_that_agrees_is_accepted(
    server: MCPServer, arguments: Any, headers: dict[str, str]
) -> None:
    status, answer = call(server, arguments, **headers)
    assert (status, "isError" in answer["result"]) == (200, False)


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {}),
        ({"region": "eu"}, {"mcp_param_region": "us"}),
        ({"region": "eu"}, {"mcp_param_region": "EU"}),
        ({"region": "eu"}, {"mcp_param_region": "=?base64?e*?="}),
        ({"region": "eu"}, {"mcp_param_region": encoded("us")}),
        ({"region": "eu"}, {"mcp_param_region": "eu", "mcp_param_limit": "10"}),
        ({"region": "eu", "limit": 1}, {"mcp_param_region": "eu", "mcp_param_limit": "2"}),
        ({"region": "eu", "limit": 1}, {"mcp_param_region": "eu", "mcp_param_limit": "one"}),
        ({"region": "eu", "limit": 1}, {"mcp_param_region": "eu", "mcp_param_limit": "nan"}),
        ({"region": "eu", "dry": True}, {"mcp_param_region": "eu", "mcp_param_dry_run": "1"}),
        ({"region": None}, {"mcp_param_region": "eu"}),
    ],
)
def test_a_header_that_is_missing_or_differs_is_refused(
    server: MCPServer, arguments: Any, headers: dict[str, str]
) -> None:
    status, answer = call(server, arguments, **headers)
    assert (status, answer["error"]["code"]) == (400, -32020)


def test_the_session_revisions_have_no_such_headers(server: MCPServer) -> None:
    result = Session(server, "2025-11-25").call("query", {"region": "eu"})
    assert result["content"][0]["text"] == "eu 10 False"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[float, McpHeader("X")], "not number"),
        (Annotated[list[str], McpHeader("X")], "not array"),
        (Annotated[str | None, McpHeader("X")], "not a union"),
        (Annotated[str, McpHeader("")], "is no header name"),
        (Annotated[str, McpHeader("a b")], "is no header name"),
        (Annotated[str, McpHeader("a\r\nb")], "is no header name"),
        (Annotated[str, Field(json_schema_extra={"x-mcp-header": 3})], "is no header name"),
        (list[Target], "properties alone do not lead to"),
        (Target, "properties alone do not lead to"),
    ],
)
def test_a_parameter_that_cannot_be_mirrored_is_refused(annotation: Any, words: str) -> None:
    def tool(parameter: Any) -> str:
        return ""

    tool.__annotations__["parameter"] = annotation
    with pytest.raises(DefinitionError, match=words):
        MCPServer().tool(tool)


def test_two_parameters_cannot_share_a_header() -> None:
    def tool(a: Annotated[str, McpHeader("Same")], b: Annotated[str, McpHeader("same")]) -> str:
        return a + b

    with pytest.raises(DefinitionError, match="two parameters are mirrored as mcp-param-same"):
        MCPServer().tool(tool)
