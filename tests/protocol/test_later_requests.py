"""What a caller comes back for: the rules of its tool are asked of the token that it has then."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from mcp_mount import MCPServer, SyncContext
from mcp_mount.auth import AccessToken, TokenVerifier
from mcp_mount.protocol import Reply, Request
from mcp_mount.protocol.exchange import Exchange
from mcp_mount.transports.driving import open_request
from tests.requests import (
    CAPABILITIES,
    JSON_HEADERS,
    initialize,
    message,
    meta,
    session_headers,
    stateless,
)

TASKS = "io.modelcontextprotocol/tasks"


def build() -> MCPServer:
    """A server whose tokens are their own scopes, all of the same subject."""
    tokens = TokenVerifier(lambda token: AccessToken("ada", frozenset(token.split("+"))))
    server = MCPServer("later", secret_key="k", auth=tokens)

    @server.tool(task=True, scopes="admin")
    def salaries() -> str:
        return "secret"

    @server.tool(task=True, when=lambda caller: "staff" in caller.scopes)
    def hidden() -> str:
        return "secret"

    @server.tool(scopes="admin")
    def aloud(ctx: SyncContext) -> str:
        ctx.info("a secret")
        return "secret"

    @server.resource("memo://salaries", scopes="admin")
    def memo(ctx: SyncContext) -> str:
        ctx.info("a secret")
        return "secret"

    @server.prompt(scopes="admin")
    def speech(ctx: SyncContext) -> str:
        ctx.info("a secret")
        return "secret"

    @server.tool(task=True)
    def within(ctx: SyncContext) -> str:
        return str(ctx.call_tool("aloud"))

    @server.tool
    def around(ctx: SyncContext) -> str:
        return str(ctx.call_tool("aloud"))

    return server


def send(server: MCPServer, token: str, method: str, **params: Any) -> tuple[int, Any]:
    own = {"_meta": {**meta(), CAPABILITIES: {"extensions": {TASKS: {}}}}, **params}
    headers, body = stateless(method, own)
    request = Request("POST", {**headers, "authorization": f"Bearer {token}"}, body)
    reply = server.core.wsgi_endpoint.respond_to(request)
    assert isinstance(reply, Reply)
    return reply.status, json.loads(reply.body)


def begin(server: MCPServer, token: str, tool: str) -> str:
    _, answer = send(server, token, "tools/call", name=tool, arguments={})
    task_id: str = answer["result"]["taskId"]
    return task_id


@pytest.mark.parametrize(
    ("method", "params"),
    [("tasks/get", {}), ("tasks/update", {"inputResponses": {}}), ("tasks/cancel", {})],
)
def test_a_task_is_refused_to_a_token_of_lesser_scopes(method: str, params: Any) -> None:
    server = build()
    task = begin(server, "admin", "salaries")
    status, answer = send(server, "read", method, taskId=task, **params)
    assert status == 403
    assert answer["error"]["message"] == "The access token must be good for: admin"
    assert send(server, "read+admin", method, taskId=task, **params)[0] == 200


def test_a_task_is_refused_to_those_who_may_not_use_what_it_has_called() -> None:
    server = build()
    task = begin(server, "admin", "within")
    while (answer := send(server, "admin", "tasks/get", taskId=task)[1]["result"])[
        "status"
    ] == "working":
        time.sleep(0.01)
    assert "secret" in str(answer)
    status, refused = send(server, "read", "tasks/get", taskId=task)
    assert status == 403
    assert "secret" not in str(refused)


def test_a_task_of_a_tool_that_is_hidden_is_not_there() -> None:
    server = build()
    task = begin(server, "staff", "hidden")
    _, answer = send(server, "read", "tasks/get", taskId=task)
    assert answer["error"]["message"] == "There is no such task, or it has expired"


def test_who_may_not_use_a_tool_does_not_hear_of_its_tasks() -> None:
    server = build()
    task = begin(server, "admin", "salaries")
    headers, body = stateless(
        "subscriptions/listen",
        {
            "_meta": {**meta(), CAPABILITIES: {"extensions": {TASKS: {}}}},
            "notifications": {"taskIds": [task]},
        },
    )

    def agreed(token: str) -> Any:
        request = Request("POST", {**headers, "authorization": f"Bearer {token}"}, body)
        opened = open_request(server.core.protocol, request)
        assert isinstance(opened, Exchange)
        [call] = opened.calls
        subscription = next(
            one
            for one in call.function.args
            if hasattr(one, "opening")  # type: ignore[attr-defined]
        )
        return json.loads(subscription.opening)["params"]["notifications"]

    assert agreed("read") == {}
    assert agreed("admin") == {"taskIds": [task]}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "aloud", "arguments": {}}),
        ("tools/call", {"name": "around", "arguments": {}}),
        ("resources/read", {"uri": "memo://salaries"}),
        ("prompts/get", {"name": "speech"}),
    ],
)
def test_a_stream_is_resumed_by_those_who_may_make_its_call_and_all_calls_within(
    method: str, params: Any
) -> None:
    client = TestClient(build(), base_url="http://localhost")

    def by(token: str, **headers: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token}", **headers}

    opened = client.post("/mcp", content=initialize(), headers={**JSON_HEADERS, **by("admin")})
    session = session_headers(opened.headers["mcp-session-id"])
    body = message(method, params)
    stream = client.post("/mcp", json=body, headers={**session, **by("admin")})
    first = re.findall(r"id: (\S+)", stream.text)[0]
    back = {**session, "accept": "text/event-stream", "last-event-id": first}
    assert client.get("/mcp", headers={**back, **by("read")}).status_code == 400
    assert "secret" in client.get("/mcp", headers={**back, **by("admin")}).text
