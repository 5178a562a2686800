"""What is for one caller alone: states, tasks and sessions, by the user that the host knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager, UserMixin
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from mcp_mount import MCPServer, SyncContext
from mcp_mount.protocol import Reply, Request
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


class Name(BaseModel):
    name: str


def build() -> MCPServer:
    server = MCPServer("callers", secret_key="k")

    @server.tool
    def ask(ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name, key="name")
        return answer.data.name if answer.data else ""

    @server.tool(task=True)
    def later() -> str:
        return "done"

    return server


def send(server: MCPServer, caller: str | None, method: str, **params: Any) -> Any:
    own = {"_meta": {**meta(), CAPABILITIES: CAPABLE}, **params}
    headers, body = stateless(method, own)
    request = Request("POST", headers, body, caller=lambda: caller)
    reply = server.core.wsgi_endpoint.respond_to(request)
    assert isinstance(reply, Reply)
    return json.loads(reply.body)


ANSWER = {"name": {"action": "accept", "content": {"name": "Ada"}}}


def test_a_state_is_of_its_caller() -> None:
    server = build()
    first = send(server, "ada", "tools/call", name="ask", arguments={})
    state = first["result"]["requestState"]
    again = {"name": "ask", "arguments": {}, "requestState": state, "inputResponses": ANSWER}
    for stranger in ("bob", None):
        refused = send(server, stranger, "tools/call", **again)
        assert refused["error"]["message"] == "The requestState is of another request"
    done = send(server, "ada", "tools/call", **again)
    assert done["result"]["content"][0]["text"] == "Ada"


def test_a_task_is_of_its_caller() -> None:
    server = build()
    task = send(server, "ada", "tools/call", name="later", arguments={})["result"]["taskId"]
    for method in ("tasks/get", "tasks/cancel"):
        for stranger in ("bob", None):
            error = send(server, stranger, method, taskId=task)["error"]
            assert error["message"] == "There is no such task, or it has expired"
    assert send(server, "ada", "tasks/get", taskId=task)["result"]["taskId"] == task


def test_a_session_is_of_the_caller_who_opened_it() -> None:
    server = build()

    def post(caller: str | None, headers: dict[str, str], body: bytes) -> Reply:
        request = Request("POST", headers, body, caller=lambda: caller)
        reply = server.core.wsgi_endpoint.respond_to(request)
        assert isinstance(reply, Reply)
        return reply

    ping = json.dumps(message("ping")).encode()
    opened = post("ada", dict(JSON_HEADERS), initialize())
    session = session_headers(dict(opened.headers)["mcp-session-id"])
    assert [post(one, session, ping).status for one in ("ada", "bob", None)] == [200, 404, 404]
    # Who logs in later keeps the session that nobody known has opened.
    opened = post(None, dict(JSON_HEADERS), initialize())
    session = session_headers(dict(opened.headers)["mcp-session-id"])
    assert [post(one, session, ping).status for one in ("ada", None)] == [200, 200]


def starlette() -> Any:
    class ByHeader(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            name = conn.headers.get("x-user")
            return name and (AuthCredentials(), SimpleUser(name))

    app = Starlette(middleware=[Middleware(AuthenticationMiddleware, backend=ByHeader())])
    mount(app, "/mcp", build())
    return app


def flask() -> Any:
    class User(UserMixin):
        def __init__(self, name: str) -> None:
            self.id = name

    app = Flask("callers")
    app.secret_key = "k"
    LoginManager(app).request_loader(
        lambda request: User(request.headers["x-user"]) if "x-user" in request.headers else None
    )
    MCPMount(app, "/mcp", build())
    return app


def wsgi() -> Any:
    server = build().wsgi

    def app(environ: Any, start_response: Any) -> Any:
        environ["REMOTE_USER"] = environ.get("HTTP_X_USER", "")
        return server(environ, start_response)

    return app


@pytest.mark.parametrize("host", [starlette, flask, wsgi], ids=lambda host: host.__name__)
def test_hosts_know_their_users(host: Callable[[], Any]) -> None:
    client: Any = (BlockingASGIClient if host is starlette else WSGIClient)(host(), "/mcp")

    def request(name: str, **params: Any) -> Any:
        own = {"_meta": {**meta(), CAPABILITIES: CAPABLE}, "name": "ask", "arguments": {}}
        headers, body = stateless("tools/call", own | params, x_user=name)
        with client.open(HTTPRequest("POST", headers, body)) as response:
            return json.loads(b"".join(response.chunks))

    state = request("ada")["result"]["requestState"]
    again = {"requestState": state, "inputResponses": ANSWER}
    assert "of another request" in request("bob", **again)["error"]["message"]
    assert request("ada", **again)["result"]["content"][0]["text"] == "Ada"
