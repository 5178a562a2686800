"""MCP requests as a client would write them, for tests that look at the wire."""

from __future__ import annotations

import json
from typing import Any

from mcp_mount.protocol import Reply, Request

STATELESS = "2026-07-28"
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"

ACCEPT = "application/json, text/event-stream"
JSON_HEADERS = {"content-type": "application/json", "accept": ACCEPT}


def message(method: str, params: dict[str, Any] | None = None, id: Any = 1) -> dict[str, Any]:
    """A JSON-RPC request."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": id, "method": method}
    if params is not None:
        body["params"] = params
    return body


def meta(version: str = STATELESS, capabilities: Any = None) -> dict[str, Any]:
    """The metadata that every stateless request carries."""
    return {VERSION: version, CAPABILITIES: capabilities or {}}


def stateless(
    method: str, params: dict[str, Any] | None = None, *, id: Any = 1, **headers: str
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a stateless request; `mcp_name="x"` and the like replace headers."""
    params = {"_meta": meta(), **(params or {})}
    own = {**JSON_HEADERS, "mcp-protocol-version": STATELESS, "mcp-method": method}
    name = params.get("name", params.get("uri", params.get("taskId")))
    if name is not None:
        own["mcp-name"] = name
    own |= {name.replace("_", "-"): value for name, value in headers.items()}
    return own, json.dumps(message(method, params, id)).encode()


def initialize(version: str = "2025-11-25", capabilities: Any = None) -> bytes:
    """The body of an initialize request."""
    params = {
        "protocolVersion": version,
        "capabilities": capabilities or {},
        "clientInfo": {"name": "tests", "version": "1"},
    }
    return json.dumps(message("initialize", params, 0)).encode()


def session_headers(session: str, version: str = "2025-11-25") -> dict[str, str]:
    """The headers of a request within a session."""
    return {**JSON_HEADERS, "mcp-session-id": session, "mcp-protocol-version": version}


def ask(server: Any, method: str, params: dict[str, Any] | None = None) -> Any:
    """Send a stateless request to a server in this process; the decoded reply."""
    headers, body = stateless(method, params)
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    return json.loads(reply.body)


def call(server: Any, tool: str, arguments: dict[str, Any] | None = None) -> Any:
    """Call a tool of a server in this process; the decoded result."""
    return ask(server, "tools/call", {"name": tool, "arguments": arguments or {}})["result"]


class Session:
    """A session with a server in this process."""

    def __init__(self, server: Any, version: str, capabilities: Any = None) -> None:
        self._server = server
        body = initialize(version, capabilities)
        reply = server.core.wsgi_endpoint.respond_to(Request("POST", dict(JSON_HEADERS), body))
        self.result = json.loads(reply.body)["result"]
        self.headers = session_headers(dict(reply.headers)["mcp-session-id"], version)

    def send(self, body: Any) -> Reply:
        """The reply to a message, or to a batch of them."""
        request = Request("POST", self.headers, json.dumps(body).encode())
        reply = self._server.core.wsgi_endpoint.respond_to(request)
        assert isinstance(reply, Reply)
        return reply

    def ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        return json.loads(self.send(message(method, params)).body)

    def call(self, tool: str, arguments: dict[str, Any] | None = None) -> Any:
        return self.ask("tools/call", {"name": tool, "arguments": arguments or {}})["result"]
