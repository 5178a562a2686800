"""What the mount answers as HTTP: preflights of browsers, bodies that are too large, no body."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from mcp_mount.auth import APIKey, APIKeys
from mcp_mount_flask import MCPMount
from tests.requests import stateless

PREFLIGHT = {
    "origin": "https://app.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type, mcp-protocol-version",
}


def build(**config: Any) -> Flask:
    app = Flask("shop", static_folder=None)
    app.config.update(SECRET_KEY="k", **config)
    mcp = MCPMount(app, "/mcp")

    @mcp.tool
    def echo(text: str) -> str:
        return text

    app.add_url_rule("/orders", "orders", lambda: "", methods=["POST"])
    return app


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp/tools/echo", "/orders"])
@pytest.mark.parametrize(
    "auth", [None, APIKeys([APIKey("ada", "a-long-secret-of-ada-1234567890")])]
)
def test_a_preflight_is_answered_as_that_of_other_routes(path: str, auth: Any) -> None:
    import flask_cors

    app = build(MCP_AUTH=auth)
    flask_cors.CORS(app, origins=["https://app.example"], expose_headers=["Mcp-Session-Id"])
    answer = app.test_client().options(path, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "content-type, mcp-protocol-version"
    other = {**PREFLIGHT, "origin": "https://evil.example"}
    assert (
        "access-control-allow-origin" not in app.test_client().options(path, headers=other).headers
    )


def test_without_cors_a_preflight_allows_nothing() -> None:
    answer = build().test_client().options("/mcp", headers=PREFLIGHT)
    assert (answer.status_code, answer.headers["allow"]) == (200, "GET, POST, DELETE, OPTIONS")
    assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_middleware_may_answer_preflights() -> None:
    from starlette.middleware.cors import CORSMiddleware

    app = build()
    app.extensions["mcp_mount"]["/mcp"].server.add_middleware(
        CORSMiddleware,
        allow_origins=["https://app.example"],
        allow_headers=["*"],
        allow_methods=["POST"],
    )
    answer = app.test_client().options("/mcp", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_an_answer_without_a_body_has_no_media_type() -> None:
    app = build()
    headers = {"content-type": "application/json", "mcp-protocol-version": "2025-11-25"}
    browser = app.test_client()
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "0"},
    }
    begun = browser.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params},
    )
    headers["mcp-session-id"] = begun.headers["mcp-session-id"]
    noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    accepted = browser.post("/mcp", json=noted, headers=headers)
    ended = browser.delete("/mcp", headers=headers)
    for answer, status in ((accepted, 202), (ended, 204)):
        assert (answer.status_code, answer.data) == (status, b"")
        assert "content-type" not in answer.headers


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"MAX_CONTENT_LENGTH": 1000}, 1000),
        ({"MCP_MAX_BODY_BYTES": 1000}, 1000),
        ({"MAX_CONTENT_LENGTH": 1000, "MCP_MAX_BODY_BYTES": 5000}, 1000),
        ({"MAX_CONTENT_LENGTH": 5000, "MCP_MAX_BODY_BYTES": 1000}, 1000),
    ],
)
def test_a_body_that_is_too_large_is_refused_with_the_limit_that_it_exceeds(
    config: dict[str, int], limit: int, chunked: bool
) -> None:
    from io import BytesIO

    headers, body = stateless("tools/call", {"name": "echo", "arguments": {"text": "x" * 2000}})
    given: dict[str, Any] = {"data": body}
    if chunked:
        given = {"input_stream": BytesIO(body), "environ_base": {"wsgi.input_terminated": True}}
    answer = build(**config).test_client().post("/mcp", headers=headers, **given)
    assert answer.status_code == 413
    assert answer.json["error"]["message"] == f"The body exceeds {limit} bytes"
