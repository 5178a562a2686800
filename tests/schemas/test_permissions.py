"""Who may see and use what: rules of entries, routers and servers, over MCP and plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request

from mcp_mount import (
    CompletionsRouter,
    DefinitionError,
    MCPRouter,
    MCPServer,
    ToolsRouter,
    mount_wsgi,
)
from mcp_mount.protocol import Reply
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.changes import Change, ListenSubscription
from mcp_mount.routes.gate import incoming_of
from mcp_mount.testing import Client, RPCError
from mcp_mount_starlette import mount
from tests.requests import STATELESS, stateless

REVISIONS = [STATELESS, "2025-11-25"]


class ByHeader(AuthenticationBackend):
    """Knows callers by a header: a name, and their scopes."""

    async def authenticate(self, conn: Any) -> Any:
        words = conn.headers.get("x-user", "").split()
        return (AuthCredentials(words[1:]), SimpleUser(words[0])) if words else None


def host(server: MCPServer) -> Any:
    app = Starlette(middleware=[Middleware(AuthenticationMiddleware, backend=ByHeader())])
    mount(app, "/mcp", server)
    return app


def known(request: Request) -> bool:
    return request.user.is_authenticated


def broken(request: Request) -> bool:
    raise RuntimeError("no database")


def build(**options: Any) -> MCPServer:
    server = MCPServer("permissions", secret_key="k", **options)

    @server.tool
    def everybody() -> str:
        return "everybody"

    @server.tool(permission="write")
    def writers() -> str:
        return "writers"

    @server.tool(permission=["write", known])
    async def both() -> str:
        return "both"

    @server.tool(permission=broken)
    def nobody() -> str:
        return "nobody"

    @server.resource("test://{id}", permission="read")
    def resource(id: str) -> str:
        return id

    @server.prompt(permission=known)
    def prompt(about: str) -> str:
        return about

    @server.completion("prompt", "about")
    def complete(completion: Any) -> list[str]:
        return ["this"]

    return server


def as_user(server: MCPServer, words: str | None, revision: str = STATELESS) -> Client:
    return Client(host(server), headers={"x-user": words} if words else {}, revision=revision)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    ("words", "tools", "prompts", "templates"),
    [
        (None, ["everybody"], [], 0),
        ("ada", ["everybody"], ["prompt"], 0),
        ("ada read write", ["everybody", "writers", "both"], ["prompt"], 1),
    ],
)
def test_lists_show_what_the_caller_may_use(
    revision: str, words: str | None, tools: list[str], prompts: list[str], templates: int
) -> None:
    with as_user(build(), words, revision) as client:
        assert [tool["name"] for tool in client.list_tools()] == tools
        assert [prompt["name"] for prompt in client.list_prompts()] == prompts
        assert len(client.list_resource_templates()) == templates


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_a_caller_may_not_use_is_not_there(revision: str) -> None:
    with as_user(build(), None, revision) as client:
        assert client.call_tool("everybody").text == "everybody"
        for tool in ("writers", "both", "nobody"):
            with pytest.raises(RPCError, match=f"Unknown tool: {tool}"):
                client.call_tool(tool)
        with pytest.raises(RPCError, match="Resource not found"):
            client.read_resource("test://1")
        with pytest.raises(RPCError, match="Unknown prompt"):
            client.get_prompt("prompt", {"about": "x"})
        assert client.complete("prompt", "about", "t") == []
    with as_user(build(), "ada read write", revision) as client:
        assert client.call_tool("writers").text == "writers"
        assert client.call_tool("both").text == "both"
        assert client.read_resource("test://1")[0]["text"] == "1"
        assert client.get_prompt("prompt", {"about": "x"})[0]["content"]["text"] == "x"
        assert client.complete("prompt", "about", "t") == ["this"]


def test_changes_of_what_a_caller_may_not_use_are_not_told() -> None:
    uri = "test://1"
    with as_user(build(), None, "2025-11-25") as client, pytest.raises(RPCError, match="not found"):
        client.request("resources/subscribe", {"uri": uri})
    with as_user(build(), "ada read", "2025-11-25") as client:
        assert client.request("resources/subscribe", {"uri": uri}) == {}
    incoming = incoming_of(ProtocolRequest("POST", {}, has_permission=lambda name: False))
    serves = partial(build().registry.serves, incoming=incoming)
    assert not serves(uri)
    told = ListenSubscription(1, {"resourceSubscriptions": [uri]}, (), lambda task: None, serves)
    assert told.message(Change("resource", uri)) is None


def test_a_rule_that_fails_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with as_user(build(), "ada read write") as client, pytest.raises(RPCError, match="Unknown"):
        client.call_tool("nobody")
    assert "no database" in caplog.text


def test_a_name_that_the_host_cannot_check_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def guarded() -> MCPServer:
        server = MCPServer("s")
        server.tool(name="closed", permission="nobody-knows")(lambda: "in")
        return server

    for _ in range(2):
        with Client(guarded()) as client:
            assert client.list_tools() == []
            with pytest.raises(RPCError, match="Unknown"):
                client.call_tool("closed")
    words = "permission='nobody-knows': This host has no permissions by name here. Write a function"
    assert caplog.text.count(words) == 1
    assert "Traceback" not in caplog.text


def _flask_with(server: MCPServer) -> None:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    MCPMount(Flask("shop"), "/mcp", server)


def _wsgi_with(server: MCPServer) -> None:
    mount_wsgi(lambda environ, start_response: [], "/mcp", server)


def _starlette_with(server: MCPServer) -> None:
    mount(Starlette(), "/mcp", server)


def _fastapi_with(server: MCPServer) -> None:
    # Of middleware that tells nothing of callers.
    app = FastAPI(middleware=[Middleware(GZipMiddleware)])
    mount(app, "/mcp", server)


@pytest.mark.parametrize(
    ("give", "host"),
    [
        (_flask_with, "Flask"),
        (_wsgi_with, "a WSGI application"),
        (_starlette_with, r"Starlette without AuthenticationMiddleware \(add it before mount\)"),
        (_fastapi_with, r"FastAPI without AuthenticationMiddleware \(add it before mount\)"),
    ],
)
def test_a_host_without_permissions_by_name_refuses_them_when_it_mounts(
    give: Callable[[MCPServer], None], host: str
) -> None:
    words = f"permission='admin': {host} has no permissions by name here. Write a function"
    with pytest.raises(DefinitionError, match=words):
        give(MCPServer("whole", permission="admin"))
    one = MCPServer("one")
    one.tool(name="closed", permission=["admin"])(lambda: "in")
    with pytest.raises(DefinitionError, match=words):
        give(one)
    server = MCPServer("later")
    give(server)
    with pytest.raises(DefinitionError, match=words):
        server.tool(name="closed", permission="admin")(lambda: "in")
    with pytest.raises(DefinitionError, match=words):
        server.configure(permission="admin")
    router = ToolsRouter(permission="admin")
    router.tool(name="closed")(lambda: "in")
    with pytest.raises(DefinitionError, match=words):
        server.include_router(router)
    assert not server.registry.tools
    server.tool(name="open", permission=lambda request: True)(lambda: "in")


def test_scopes_of_middleware_are_permissions_by_name() -> None:
    server = MCPServer("later")
    app = FastAPI()
    mount(app, "/mcp", server)
    with pytest.raises(DefinitionError, match="add it before mount"):
        server.tool(name="closed", permission="write")(lambda: "in")
    app.add_middleware(AuthenticationMiddleware, backend=AuthenticationBackend())
    server.tool(name="closed", permission="write")(lambda: "in")
    own = MCPServer("own", permission="write")
    own.add_middleware(AuthenticationMiddleware, backend=AuthenticationBackend())
    mount(FastAPI(), "/mcp", own)


def test_a_list_that_is_not_the_same_for_all_is_private() -> None:
    with as_user(build(page_size=2), "ada write") as client:
        first = client.request("tools/list")
        assert [tool["name"] for tool in first["tools"]] == ["everybody", "writers"]
        assert first["cacheScope"] == "private"
        rest = client.request("tools/list", {"cursor": first["nextCursor"]})
        assert [tool["name"] for tool in rest["tools"]] == ["both"]
    open_server = MCPServer("open")
    open_server.tool(name="one")(lambda: "one")
    with Client(open_server) as client:
        assert client.request("tools/list")["cacheScope"] == "public"


def test_rules_of_routers_add_up() -> None:
    inner = ToolsRouter(permission="inner")
    inner.tool(name="early")(lambda: "early")
    outer = MCPRouter(permission="outer")
    outer.include_router(inner)
    server = MCPServer("routers", secret_key="k")
    server.include_router(outer)
    inner.tool(name="late", permission="own")(lambda: "late")
    seen = {
        "ada inner": [],
        "ada outer": [],
        "ada inner outer": ["early"],
        "ada inner outer own": ["early", "late"],
    }
    for words, tools in seen.items():
        with as_user(server, words) as client:
            assert [tool["name"] for tool in client.list_tools()] == tools


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_server_for_some_refuses_others(revision: str) -> None:
    server = build(permission=["use", known])
    for words, message in ((None, "Authentication required"), ("ada", "Permission denied")):
        with as_user(server, words, revision) as client, pytest.raises(RPCError, match=message):
            client.list_tools()
        assert exchange(host(server), "POST", "/mcp", words)[0] == (403 if words else 401)
        assert challenges[-1:] == ([] if words else ["Bearer"])
    with as_user(server, "ada use", revision) as client:
        assert client.call_tool("everybody").text == "everybody"


challenges: list[str] = []


def exchange(app: Any, method: str, path: str, words: str | None, body: Any = None) -> Any:
    """The status and the body of a plain HTTP request."""
    sent: list[Any] = []
    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    if words:
        headers.append((b"x-user", words.encode()))

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(body or {}).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
    }
    asyncio.run(app(scope, receive, send))
    challenges[:] = [
        value.decode() for name, value in sent[0]["headers"] if name == b"www-authenticate"
    ]
    text = b"".join(one.get("body", b"") for one in sent)
    return sent[0]["status"], json.loads(text)


def test_the_same_rules_hold_over_plain_http() -> None:
    tools = ToolsRouter()
    tools.tool(name="all")(lambda: "all")
    tools.tool(name="writers", permission="write")(lambda: "writers")
    server = MCPServer("http")
    server.include_router(tools)
    app = host(server)
    _, listed = exchange(app, "GET", "/mcp/tools", None)
    assert [tool["name"] for tool in listed] == ["all"]
    _, listed = exchange(app, "GET", "/mcp/tools", "ada write")
    assert [tool["name"] for tool in listed] == ["all", "writers"]
    assert exchange(app, "POST", "/mcp/tools/writers", "ada")[0] == 404
    assert exchange(app, "POST", "/mcp/tools/writers", "ada write")[0] == 200


def completions() -> CompletionsRouter:
    router = CompletionsRouter(permission="chat")
    router.chat("echo")(lambda request: "echo")
    return router


def guarded() -> MCPServer:
    server = MCPServer("guarded", permission="chat")
    router = CompletionsRouter()
    router.chat("echo")(lambda request: "echo")
    server.include_router(router)
    return server


def routed() -> MCPServer:
    server = MCPServer("routed")
    server.include_router(completions())
    return server


@pytest.mark.parametrize("make", [guarded, routed], ids=["server", "router"])
def test_the_routes_of_a_guarded_router_are_guarded(make: Callable[[], MCPServer]) -> None:
    app = host(make())
    status, body = exchange(app, "GET", "/mcp/v1/models", None)
    assert (status, body["error"]["message"]) == (401, "Authentication required")
    status, body = exchange(app, "GET", "/mcp/v1/models", "ada")
    assert (status, body["error"]["message"]) == (403, "Permission denied")
    assert exchange(app, "GET", "/mcp/v1/models", "ada chat")[0] == 200


@pytest.mark.parametrize("permission", [7, "", ["read", None], object()])
def test_what_is_no_rule_is_refused(permission: Any) -> None:
    with pytest.raises(DefinitionError, match="a permission is a name"):
        MCPServer().tool(name="x", permission=permission)(lambda: "")


def test_a_rule_is_no_coroutine() -> None:
    async def rule(request: Any) -> bool:
        return True

    with pytest.raises(DefinitionError, match="a coroutine function, whose value"):
        MCPServer().tool(name="x", permission=rule)(lambda: "")


def test_a_handler_gets_the_request_by_its_type() -> None:
    server = MCPServer("request")

    @server.tool
    def path(request: Request, suffix: str = "") -> str:
        return f"{request.url.path}{suffix} {request.user.display_name}"

    with as_user(server, "ada") as client:
        [tool] = client.list_tools()
        assert list(tool["inputSchema"]["properties"]) == ["suffix"]
        assert client.call_tool("path", {"suffix": "!"}).text == "/mcp! ada"


def test_nothing_is_asked_where_nothing_is_ruled() -> None:
    server = MCPServer("open")
    server.tool(name="one")(lambda: "one")

    def never() -> Any:
        raise AssertionError("asked")

    headers, body = stateless("tools/call", {"name": "one", "arguments": {}})
    request = ProtocolRequest("POST", headers, body, host_request=never, caller=never)
    reply = server.core.wsgi_endpoint.respond_to(request)
    assert isinstance(reply, Reply)
    assert reply.status == 200


@pytest.mark.parametrize("key", ["permission", "scopes", "roles", "when"])
@pytest.mark.parametrize("where", ["tool", "router", "server", "resource", "prompt"])
def test_a_rule_that_names_nothing_is_refused_and_lets_nobody_in(where: str, key: str) -> None:
    nothing: dict[str, Any] = {key: []}
    server = MCPServer("tests")

    def one() -> str:
        return "secret"

    declare: dict[str, Callable[[], Any]] = {
        "tool": lambda: server.add_tool(one, **nothing),
        "router": lambda: ToolsRouter(**nothing),
        "server": lambda: MCPServer("other", **nothing),
        "resource": lambda: server.resource("res://one", **nothing)(one),
        "prompt": lambda: server.prompt(**nothing)(one),
    }
    with pytest.raises(DefinitionError, match=f"{key}=.* names nothing"):
        declare[where]()


@pytest.mark.parametrize("key", ["throttle", "check", "check_result"])
def test_a_policy_that_guards_and_names_nothing_is_refused(key: str) -> None:
    def entry() -> str:
        return "x"

    with pytest.raises(DefinitionError, match=f"{key}=.* names nothing"):
        MCPServer().tool(**{key: []})(entry)
    MCPServer().tool(**{key: None})(entry)


def test_a_throttle_of_a_server_that_names_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"throttle=\[\] names nothing"):
        MCPServer(throttle=[])


@pytest.mark.parametrize("scopes", [["read orders"], 'a"b', "é", ["a\\b"], "a\x00"])
def test_a_scope_that_no_token_can_have_is_refused(scopes: Any) -> None:
    """RFC 6749, section 3.3."""
    with pytest.raises(DefinitionError, match="No access token has the scope"):
        MCPServer().tool(scopes=scopes)(lambda: "")


def test_scopes_are_names() -> None:
    with pytest.raises(DefinitionError, match="a scope is a name, not 5"):
        MCPServer().tool(scopes=5)(lambda: "")  # type: ignore[arg-type]
