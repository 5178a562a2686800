"""Revision 2026-07-28, beyond the bad requests that tests/integrations sends to every host."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mcp_mount import MCPServer
from mcp_mount.protocol import Reply, Request
from tests.requests import CLIENT_INFO, ask, stateless


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer(
        "tests",
        version="3",
        display_name="Tests",
        website_url="https://example.org",
        icons=[{"src": "https://example.org/i.png"}],
        instructions="Be kind.",
        list_ttl_ms=5000,
    )

    @server.tool
    def hello(name: str = "you") -> str:
        return f"Hello {name}"

    return server


def post(server: MCPServer, headers: dict[str, str], body: bytes) -> Any:
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    assert isinstance(reply, Reply)
    return reply


def test_discovery_tells_versions_capabilities_and_identity(server: MCPServer) -> None:
    assert ask(server, "server/discover") == {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {
            "resultType": "complete",
            "supportedVersions": [
                "2026-07-28",
                "2025-11-25",
                "2025-06-18",
                "2025-03-26",
                "2024-11-05",
            ],
            "capabilities": {
                "tools": {"listChanged": True},
                "extensions": {"io.modelcontextprotocol/tasks": {}},
            },
            "instructions": "Be kind.",
            "ttlMs": 5000,
            "cacheScope": "public",
            "_meta": {
                "io.modelcontextprotocol/serverInfo": {
                    "name": "tests",
                    "title": "Tests",
                    "version": "3",
                    "websiteUrl": "https://example.org",
                    "icons": [{"src": "https://example.org/i.png"}],
                }
            },
        },
    }


def test_capabilities_follow_what_is_registered(server: MCPServer) -> None:
    assert ask(server, "prompts/list")["error"]["code"] == -32601
    server.prompt(name="one")(lambda: "text")
    capabilities = ask(server, "server/discover")["result"]["capabilities"]
    assert {"tools", "prompts"} < set(capabilities)
    assert capabilities["prompts"] == {"listChanged": True}
    assert ask(server, "prompts/list")["result"]["prompts"] == [{"name": "one", "arguments": []}]


def test_a_list_says_how_long_it_may_be_kept(server: MCPServer) -> None:
    result = ask(server, "tools/list")["result"]
    assert (result["ttlMs"], result["cacheScope"]) == (5000, "public")
    assert [tool["name"] for tool in result["tools"]] == ["hello"]


def test_a_list_changes_with_the_registry(server: MCPServer) -> None:
    ask(server, "tools/list")
    server.tool(name="later")(lambda: "x")
    names = [tool["name"] for tool in ask(server, "tools/list")["result"]["tools"]]
    assert names == ["hello", "later"]


@pytest.mark.parametrize("id", [0, -7, 2**60, "x", "ü", ""])
def test_the_answer_has_the_id_of_the_request(server: MCPServer, id: Any) -> None:
    headers, body = stateless("tools/list", id=id)
    assert json.loads(post(server, headers, body).body)["id"] == id


def test_an_encoded_name_header_is_decoded_before_it_is_compared(server: MCPServer) -> None:
    encoded = base64.b64encode(b"hello").decode()
    headers, body = stateless("tools/call", {"name": "hello"}, mcp_name=f"=?base64?{encoded}?=")
    reply = post(server, headers, body)
    assert json.loads(reply.body)["result"]["content"][0]["text"] == "Hello you"


def test_client_info_is_optional_but_not_arbitrary(server: MCPServer) -> None:
    params = {"_meta": {**json.loads(stateless("x")[1])["params"]["_meta"], CLIENT_INFO: "me"}}
    headers, body = stateless("tools/list", params)
    assert post(server, headers, body).status == 400


def test_a_notification_is_accepted_and_ignored(server: MCPServer) -> None:
    headers, _ = stateless("tools/list")
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/anything"}).encode()
    reply = post(server, headers, body)
    assert (reply.status, reply.body) == (202, b"")


def test_a_session_header_is_ignored(server: MCPServer) -> None:
    headers, body = stateless("tools/list", mcp_session_id="old", last_event_id="7")
    reply = post(server, headers, body)
    assert reply.status == 200
    assert "mcp-session-id" not in dict(reply.headers)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json, text/event-stream", "application/json"),
        ("*/*", "application/json"),
        ("application/json;q=0.5, text/event-stream", "application/json"),
        ("application/*", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("application/json;q=0, text/event-stream", "text/event-stream"),
    ],
)
def test_the_reply_has_a_media_type_that_the_client_takes(
    server: MCPServer, accept: str, media_type: str
) -> None:
    headers, body = stateless("tools/call", {"name": "hello"}, accept=accept)
    reply = post(server, headers, body)
    assert dict(reply.headers)["content-type"] == media_type
    if media_type == "text/event-stream":
        assert reply.body.startswith(b"event: message\ndata: {")
        assert reply.body.endswith(b"}\n\n")


def test_the_media_type_of_a_request_may_have_parameters(server: MCPServer) -> None:
    headers, body = stateless("tools/list", content_type="Application/JSON; charset=utf-8")
    assert post(server, headers, body).status == 200
