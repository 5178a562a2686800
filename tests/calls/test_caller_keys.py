"""By whose key a server keeps results, counts, tasks, states and sessions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask import request as flask_request
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mcp_mount import Cache, DefinitionError, MCPServer, SyncContext
from mcp_mount.auth import APIKeys
from mcp_mount.protocol import Reply, Request
from mcp_mount.testing import Client
from mcp_mount.testing.conversation import HTTPRequest
from mcp_mount.testing.inprocess import BlockingASGIClient, WSGIClient
from mcp_mount_flask import MCPMount
from mcp_mount_starlette import mount
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
CAPABLE = {"elicitation": {}, "extensions": {TASKS: {}}}
ANSWER = {"name": {"action": "accept", "content": {"name": "Ada"}}}


class Name(BaseModel):
    name: str


def build(name: str = "keys", **options: Any) -> MCPServer:
    server = MCPServer(name, secret_key="k", **options)
    runs = iter(range(1000))

    @server.tool(cache=60)
    def report() -> int:
        return next(runs)

    @server.tool(cache=60)
    async def report_async() -> int:
        return next(runs)

    @server.tool(cache=Cache(60, per="everyone"))
    def shared() -> int:
        return next(runs)

    @server.tool(throttle="1/hour")
    def once() -> str:
        return "done"

    @server.tool(task=True)
    def later() -> str:
        return "done"

    @server.tool
    def ask(ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name, key="name")
        return answer.data.name if answer.data else ""

    return server


def post(server: MCPServer, headers: dict[str, str], body: bytes, **known: Any) -> Reply:
    own = {**headers, "host": known.pop("host", ""), **known.pop("more", {})}
    user = known.pop("user", None)
    reply = server.core.wsgi_endpoint.respond_to(
        Request("POST", own, body, caller=lambda: user, **known)
    )
    assert isinstance(reply, Reply)
    return reply


def send(server: MCPServer, method: str, params: dict[str, Any], **known: Any) -> Any:
    own = {"_meta": {**meta(), CAPABILITIES: CAPABLE}, **params}
    return json.loads(post(server, *stateless(method, own), **known).body)


def call(server: MCPServer, tool: str, **known: Any) -> Any:
    return send(server, "tools/call", {"name": tool, "arguments": {}}, **known)


def value(server: MCPServer, tool: str, **known: Any) -> Any:
    structured = call(server, tool, **known)["result"]["structuredContent"]
    return structured.get("result", structured)


def of_tenant(name: str) -> Any:
    """What a request knows that came to a tenant."""
    return lambda: SimpleNamespace(tenant=name)


def by_tenant(request: Any) -> str | None:
    return f"{request.tenant}:user" if request.tenant else None


@pytest.mark.parametrize("tool", ["report", "shared"])
@pytest.mark.parametrize(
    "other",
    [
        {"host": "other.example.com"},
        {"mount": "/other/mcp"},
        {"more": {"accept-language": "fr"}},
    ],
    ids=["host", "mount", "language"],
)
def test_results_are_kept_apart_by_where_and_in_what_language_they_are_asked_for(
    tool: str, other: dict[str, Any]
) -> None:
    server = build()
    usual = {"user": "1", "host": "acme.example.com", "mount": "/acme/mcp"}
    first = value(server, tool, **usual)
    assert value(server, tool, **usual) == first
    assert value(server, tool, **{**usual, **other}) != first


def test_results_are_kept_by_the_key_of_the_caller() -> None:
    server = build(caller=by_tenant)
    first = value(server, "report", user="1", host_request=of_tenant("acme"))
    assert value(server, "report", user="2", host_request=of_tenant("acme")) == first
    assert value(server, "report", user="1", host_request=of_tenant("other")) != first


def test_nothing_is_kept_for_a_caller_without_a_key() -> None:
    server = build(caller=by_tenant)
    first = value(server, "report", user="1", host_request=of_tenant(""))
    assert value(server, "report", user="1", host_request=of_tenant("")) != first


def test_a_header_of_api_keys_tells_callers_apart() -> None:
    server = build()
    APIKeys(header="X-Shop-Key")
    answers = {value(server, "report", more={"x-shop-key": key}) for key in ("a", "b")}
    assert len(answers) == 2


def test_calls_are_counted_by_the_key_of_the_caller() -> None:
    server = build(caller=by_tenant)
    failed = [
        call(server, "once", user=user, host_request=of_tenant(tenant))["result"].get(
            "isError", False
        )
        for user, tenant in (("1", "acme"), ("2", "acme"), ("1", "other"))
    ]
    assert failed == [False, True, False]


def test_callers_without_a_key_are_counted_by_their_address() -> None:
    server = build(caller=by_tenant)
    failed = [
        call(server, "once", host_request=of_tenant(""), address=address, host=host)["result"].get(
            "isError", False
        )
        for address, host in (("10.0.0.1", "a"), ("10.0.0.1", "b"), ("10.0.0.2", "a"))
    ]
    assert failed == [False, True, False]


@pytest.mark.parametrize("user", ["1", None], ids=["known", "anonymous"])
@pytest.mark.parametrize("other", [{"host": "other.example.com"}, {"mount": "/other/mcp"}])
def test_a_task_is_found_where_it_was_begun_only(other: dict[str, Any], user: str | None) -> None:
    server = build()
    usual = {"user": user, "host": "acme.example.com", "mount": "/acme/mcp"}
    task = call(server, "later", **usual)["result"]["taskId"]
    assert send(server, "tasks/get", {"taskId": task}, **usual)["result"]["taskId"] == task
    refused = send(server, "tasks/get", {"taskId": task}, **{**usual, **other})
    assert refused["error"]["message"] == "There is no such task, or it has expired"


def test_a_task_of_somebody_unknown_is_of_their_key() -> None:
    server = build(caller=by_tenant)
    task = call(server, "later", host_request=of_tenant("acme"))["result"]["taskId"]
    for tenant, member in (("acme", "result"), ("other", "error"), ("", "error")):
        assert member in send(server, "tasks/get", {"taskId": task}, host_request=of_tenant(tenant))


def test_a_state_is_of_the_key_of_its_caller() -> None:
    server = build(caller=by_tenant)
    state = call(server, "ask", user="1", host_request=of_tenant("acme"))["result"]["requestState"]
    again = {"name": "ask", "arguments": {}, "requestState": state, "inputResponses": ANSWER}
    other = send(server, "tools/call", again, user="1", host_request=of_tenant("other"))
    assert other["error"]["message"] == "The requestState is of another request"
    done = send(server, "tools/call", again, user="1", host_request=of_tenant("acme"))
    assert done["result"]["content"][0]["text"] == "Ada"


def test_a_session_is_of_the_key_of_its_caller() -> None:
    server = build(caller=by_tenant)
    opened = post(server, dict(JSON_HEADERS), initialize(), host_request=of_tenant("acme"))
    session = session_headers(dict(opened.headers)["mcp-session-id"])
    ping = json.dumps(message("ping")).encode()
    statuses = [
        post(server, session, ping, host_request=of_tenant(tenant)).status
        for tenant in ("acme", "other")
    ]
    assert statuses == [200, 404]


@pytest.mark.parametrize(
    "elsewhere",
    [lambda: (build("another"), "/mcp"), lambda: (build(), "/other/mcp")],
    ids=["another server", "another mount"],
)
def test_what_is_sealed_is_good_for_its_server_and_mount_alone(
    elsewhere: Callable[[], tuple[MCPServer, str]],
) -> None:
    server, (other, place) = build(), elsewhere()
    opened = post(server, dict(JSON_HEADERS), initialize(), mount="/mcp")
    session = session_headers(dict(opened.headers)["mcp-session-id"])
    ping = json.dumps(message("ping")).encode()
    # As after a restart, or at another worker.
    assert post(build(), session, ping, mount="/mcp").status == 200
    assert post(other, session, ping, mount=place).status == 404
    state = call(server, "ask", mount="/mcp")["result"]["requestState"]
    again = {"name": "ask", "arguments": {}, "requestState": state, "inputResponses": ANSWER}
    assert "result" in send(build(), "tools/call", again, mount="/mcp")
    refused = send(other, "tools/call", again, mount=place)["error"]
    assert (refused["code"], refused["message"]) == (
        -32602,
        "The requestState is refused: not sealed here",
    )


def test_a_cursor_is_good_for_its_server_and_mount_alone() -> None:
    def listed(name: str, mount: str, **params: Any) -> Any:
        server = build(name, page_size=2)
        return send(server, "tools/list", params, mount=mount)

    cursor = listed("keys", "/mcp")["result"]["nextCursor"]
    assert "result" in listed("keys", "/mcp", cursor=cursor)
    for name, place in (("another", "/mcp"), ("keys", "/other/mcp")):
        assert listed(name, place, cursor=cursor)["error"]["code"] == -32602


def coroutine(request: Any) -> Any:
    async def key() -> str:
        return "k"

    return key()


def broken(request: Any) -> str:
    raise LookupError("no tenant")


@pytest.mark.parametrize("function", [coroutine, broken, lambda request: 7, lambda request: ""])
@pytest.mark.parametrize(("user", "status"), [("1", 403), (None, 401)])
def test_a_caller_whose_key_cannot_be_told_is_refused(
    function: Any, user: str | None, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = build(caller=function)
    headers, body = stateless("tools/call", {"name": "report", "arguments": {}})
    assert post(server, headers, body, user=user).status == status
    assert "The caller's key could not be told" in caplog.text


async def awaited(request: Any) -> str:
    return "k"


class Awaited:
    async def __call__(self, request: Any) -> str:
        return "k"


@pytest.mark.parametrize("function", [awaited, partial(awaited), Awaited(), "acme"])
def test_what_is_no_plain_function_is_refused_at_definition(function: Any) -> None:
    with pytest.raises(DefinitionError, match="caller="):
        MCPServer(caller=function)
    with pytest.raises(DefinitionError, match="caller="):
        MCPServer().configure(caller=function)


def starlette() -> Iterator[Any]:
    app = Starlette()
    mount(app, "/mcp", build(caller=lambda request: request.headers.get("x-tenant")))
    yield BlockingASGIClient(app, "/mcp")


def flask() -> Iterator[Any]:
    app = Flask("keys")
    app.config["MCP_CALLER"] = lambda request: flask_request.headers.get("x-tenant")
    MCPMount(app, "/mcp", build())
    yield WSGIClient(app, "/mcp")


@pytest.mark.parametrize("tool", ["report", "report_async"])
@pytest.mark.parametrize("host", [starlette, flask], ids=lambda host: host.__name__)
def test_the_key_is_asked_of_the_hosts_own_request(
    host: Callable[[], Iterator[Any]], tool: str
) -> None:
    [client] = host()

    def run(tenant: str) -> Any:
        headers, body = stateless("tools/call", {"name": tool, "arguments": {}}, x_tenant=tenant)
        with client.open(HTTPRequest("POST", headers, body)) as response:
            answer = json.loads(b"".join(response.chunks))
        return answer["result"]["structuredContent"]["result"]

    assert run("acme") == run("acme") != run("other")


def test_the_key_of_a_verified_token_is_asked_over_mcp_and_over_plain_http() -> None:
    tokens = APIKeys({"ada": "a-long-secret-of-ada", "bob": "a-long-secret-of-bob"})
    server = MCPServer("teams", auth=tokens, caller=lambda request: request.user.identity)
    from mcp_mount import ToolsRouter

    tools, runs = ToolsRouter(), iter(range(10))

    @tools.tool(cache=60)
    async def report() -> int:
        return next(runs)

    server.include_router(tools)
    client = TestClient(server, base_url="http://localhost")

    def over_mcp(name: str) -> Any:
        headers, body = stateless("tools/call", {"name": "report", "arguments": {}})
        own = {**headers, "x-api-key": f"a-long-secret-of-{name}"}
        answer = client.post("/mcp", content=body, headers=own).json()
        return answer["result"]["structuredContent"]["result"]

    def over_http(name: str) -> Any:
        headers = {"x-api-key": f"a-long-secret-of-{name}"}
        return client.post("/tools/report", json={}, headers=headers).json()

    for ask in (over_mcp, over_http):
        assert ask("ada") == ask("ada") != ask("bob")


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_a_key_with_a_lone_surrogate_is_a_key(version: str) -> None:
    server = MCPServer("tests", caller=lambda request: "a\udc80", secret_key="k" * 32)

    @server.tool
    def seen() -> str:
        return "seen"

    with Client(server, revision=version) as client:
        assert client.call_tool("seen").data == "seen"
