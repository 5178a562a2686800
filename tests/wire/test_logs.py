"""Logs: what clients choose is written in them, and never as a line of its own."""

from __future__ import annotations

import logging
from io import StringIO
from typing import Any

import pytest

from mcp_mount import Context, MCPServer, SyncContext, ToolError
from mcp_mount.auth import APIKeys
from mcp_mount.protocol import Request
from tests.requests import Session, ask, stateless

FORGED = "x\n2026-01-01 INFO mcp_mount.calls tools/call pay by root: ok"


@pytest.fixture
def lines() -> Any:
    """What a usual handler writes, line by line."""
    sink = StringIO()
    handler = logging.StreamHandler(sink)
    handler.setFormatter(logging.Formatter("LOG %(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: sink.getvalue().splitlines()
    root.removeHandler(handler)
    root.setLevel(level)


def build() -> MCPServer:
    server = MCPServer("logs", log_calls=True)

    @server.tool
    def fail(text: str) -> str:
        raise RuntimeError(text)

    @server.tool
    async def fail_async(text: str) -> str:
        raise RuntimeError(text) from LookupError(text)

    @server.resource("notes://{name}")
    def note(name: str) -> str:
        raise RuntimeError(name)

    @server.prompt
    def prompt(text: str) -> str:
        raise RuntimeError(text)

    return server


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": FORGED, "arguments": {}}),
        ("tools/call", {"name": "fail", "arguments": {"text": FORGED}}),
        ("tools/call", {"name": "fail_async", "arguments": {"text": FORGED}}),
        ("prompts/get", {"name": FORGED}),
        ("prompts/get", {"name": "prompt", "arguments": {"text": FORGED}}),
        ("resources/read", {"uri": f"notes://{FORGED}"}),
        ("resources/read", {"uri": "notes://a%0A2026-01-01%20INFO%20mcp_mount.calls"}),
        (f"tools/{FORGED}", {}),
    ],
)
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_no_client_writes_a_line_of_its_own(
    method: str, params: Any, revision: str, lines: Any
) -> None:
    server = build()
    if revision == "2026-07-28":
        ask(server, method, params)
    else:
        Session(server, revision).ask(method, params)
    for line in lines():
        assert line.startswith(("LOG ", "  ")), line
        assert "\x1b" not in line


def test_headers_and_callers_write_no_line_of_their_own(lines: Any) -> None:
    server = build()
    server.configure(allowed_hosts=["localhost"])
    headers, body = stateless("tools/list")
    for own in ({"host": "a.example"}, {"host": "localhost", "origin": f"https://{FORGED}"}):
        server.core.wsgi_endpoint.respond_to(Request("POST", {**headers, **own}, body))
    known = Request("POST", {**headers, "host": "localhost"}, body, caller=lambda: FORGED)
    server.core.wsgi_endpoint.respond_to(known)
    assert all(line.startswith("LOG ") for line in lines())
    assert any("a.example" in line for line in lines())


def test_terminal_codes_are_written_out(lines: Any) -> None:
    logging.getLogger("mcp_mount").warning("%s", "\x1b[2J\u202eevil\r")
    assert lines() == ["LOG mcp_mount \\x1b[2J\\u202eevil\\r"]


def test_a_log_can_be_written_to_a_file_whatever_a_text_holds(lines: Any) -> None:
    ask(build(), "tools/call", {"name": "fail", "arguments": {"text": "a"}})
    logging.getLogger("mcp_mount").error("%s failed", "a\ud800b", exc_info=ValueError("\udfff"))
    whole = "\n".join(lines())
    assert "a\\ud800b failed" in whole
    assert "ValueError: \\udfff" in whole
    whole.encode()


HEADERS = {
    "authorization": "Bearer abc",
    "cookie": "session=abc",
    "x-api-key": "abc-of-somebody-or-other",
    "x-shop-key": "abc-of-the-shop-itself",
    "proxy-authorization": "Basic abc",
    "x-tenant": "acme",
}


@pytest.mark.parametrize("kind", ["plain", "coroutine", "policy", "rule"])
def test_credentials_are_in_headers_for_who_asks_by_name_only(kind: str) -> None:
    APIKeys(header="X-Shop-Key")
    server, seen = MCPServer("headers"), []

    def rule(caller: Any) -> bool:
        seen.append(caller.headers)
        return True

    @server.tool(when=rule)
    def plain(ctx: SyncContext) -> str:
        seen.append(ctx.headers)
        return "ok"

    @server.tool
    async def coroutine(ctx: Context) -> str:
        seen.append(ctx.headers)
        return "ok"

    @server.call_middleware
    def policy(call: Any, call_next: Any) -> Any:
        if kind == "policy":
            seen[:] = []
            seen.append(call.headers)
            raise ToolError("seen")
        return call_next()

    headers, body = stateless(
        "tools/call", {"name": "coroutine" if kind == "coroutine" else "plain", "arguments": {}}
    )
    server.core.wsgi_endpoint.respond_to(Request("POST", {**headers, **HEADERS}, body))
    shown = seen[0] if kind == "rule" else seen[-1]
    assert shown["x-tenant"] == "acme"
    assert "abc" not in f"{shown} {dict(shown)} {list(shown.items())}"
    assert "x-tenant" in dict(shown)
    assert shown["authorization"] == "Bearer abc"
    assert shown.get("x-shop-key") == "abc-of-the-shop-itself"
