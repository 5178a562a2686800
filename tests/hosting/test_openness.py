"""A server whose tools anybody may call says so when it starts, unless that is meant."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Cookie, Depends, FastAPI, Header, Security
from fastapi.security import HTTPBearer
from flask import Flask
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from mcp_mount import (
    CompletionsRouter,
    ImageRouter,
    MCPServer,
    ToolsRouter,
    mount_asgi,
    mount_wsgi,
)
from mcp_mount.auth import APIKeys, SignIn
from mcp_mount.hosting.openness import open_models
from mcp_mount.images import OpenAIImages
from mcp_mount.models import OpenAI
from mcp_mount.protocol import Request
from mcp_mount.testing import Client
from mcp_mount.testing.conversation import HTTPRequest
from mcp_mount.testing.inprocess import BlockingASGIClient, WSGIClient, is_asgi
from mcp_mount_flask import MCPBlueprint, MCPMount
from mcp_mount_starlette import mount
from tests.requests import stateless

KEYS = APIKeys({"ada": "a-long-secret-of-ada"})


def build(**options: Any) -> MCPServer:
    server = MCPServer("shop", **options)

    @server.tool
    def pay() -> str:
        return "paid"

    return server


def warned(app: Any, caplog: pytest.LogCaptureFixture, path: str = "/mcp") -> bool:
    """Whether an application warns, once, of what its first two requests can do."""
    caplog.clear()
    client: Any = (BlockingASGIClient if is_asgi(app) else WSGIClient)(app, path)
    headers, body = stateless("tools/list")
    for _ in range(2):
        with client.open(HTTPRequest("POST", headers, body)) as response:
            b"".join(response.chunks)
    lines = [one for one in caplog.records if "ANYBODY" in one.getMessage()]
    assert len(lines) < 2
    assert all((one.name, one.levelno) == ("mcp_mount", logging.WARNING) for one in lines)
    return bool(lines)


def alone(server: MCPServer) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await server(scope, receive, send)

    return app


def alone_wsgi(server: MCPServer) -> Any:
    return server.wsgi


def starlette(server: MCPServer, **options: Any) -> Any:
    app = Starlette(**options)
    mount(app, "/mcp", server)
    return app


def fastapi(server: MCPServer, **options: Any) -> Any:
    app = FastAPI(**options)
    mount(app, "/mcp", server)
    return app


def flask(server: MCPServer, **config: Any) -> Any:
    app = Flask("shop")
    app.config.update(config)
    MCPMount(app, "/mcp", server)
    return app


def beside_asgi(server: MCPServer) -> Any:
    return mount_asgi(Starlette(), "/mcp", server)


def beside_wsgi(server: MCPServer) -> Any:
    return mount_wsgi(Flask("host"), "/mcp", server)


HOSTS = (alone, alone_wsgi, starlette, fastapi, flask, beside_asgi, beside_wsgi)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
def test_an_open_server_warns_once_and_names_what_to_do(
    host: Callable[[MCPServer], Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert warned(host(build()), caplog)
    for words in ("'shop'", "1 tool ", "pay", "auth=", "permission=", "open=True", "MCP_OPEN"):
        assert words in caplog.text


def with_models(**options: Any) -> MCPServer:
    """A server with models of upstreams: for chat with tools, for images, and by another name."""
    server = MCPServer("shop", **options)
    models, images = CompletionsRouter(), ImageRouter(image_tools=False)
    upstream = OpenAI("http://127.0.0.1:9/v1", "gpt", key="sk-secret")
    models.add_model("gpt", upstream, tools="auto", aliases=["gpt-4"])
    models.add_model("local", OpenAI("http://127.0.0.1:9/v1", "llama"))
    models.add_model("alias", "gpt")
    models.chat("echo")(lambda request: request.text)
    images.add_backend("drawn", OpenAIImages("http://127.0.0.1:9/v1", "dall-e", key="sk-secret"))
    server.include_router(models)
    server.include_router(images)
    return server


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
def test_models_with_a_key_that_anybody_may_ask_are_told(
    host: Callable[[MCPServer], Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert warned(host(with_models()), caplog)
    for words in ("'shop' may ask 2 models", ": gpt, drawn.", "scopes=", "open=True", "MCP_OPEN"):
        assert words in caplog.text
    assert "sk-secret" not in caplog.text
    for options in ({"open": True}, {"auth": KEYS}, {"permission": lambda request: False}):
        assert not warned(host(with_models(**options)), caplog)


@pytest.mark.parametrize("options", [{"permission": lambda request: False}, {"scopes": "chat"}])
def test_models_with_guards_of_their_own_or_their_routers_are_not_open(options: Any) -> None:
    upstream = OpenAI("http://127.0.0.1:9/v1", "gpt", key="sk-secret")
    server, guarded = MCPServer("shop"), CompletionsRouter(**options)
    guarded.add_model("a", upstream)
    server.include_router(guarded)
    own = CompletionsRouter()
    own.add_model("b", upstream, **options)
    server.include_router(own)
    assert open_models(server.registry) == []


@pytest.mark.parametrize(
    "options",
    [
        {"open": True},
        {"auth": KEYS},
        {"permission": lambda request: False},
        {"scopes": "admin"},
        {"debug": True},
    ],
    ids=["meant", "auth", "permission", "scopes", "debug"],
)
@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
def test_a_server_that_is_guarded_or_meant_to_be_open_does_not_warn(
    host: Callable[[MCPServer], Any], options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert not warned(host(build(**options)), caplog)


def test_credentials_that_are_not_required_guard_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(alone(build(auth=KEYS, auth_required=False)), caplog)


def bearer(token: Annotated[Any, Depends(HTTPBearer())]) -> None: ...


def by_header(x_token: Annotated[str, Header()]) -> None: ...


def connection() -> None: ...


def test_tools_with_guards_of_their_own_are_not_open(caplog: pytest.LogCaptureFixture) -> None:
    server = MCPServer("guarded")
    guarded = ToolsRouter(permission=lambda request: False)

    @guarded.tool
    def by_router() -> str:
        return ""

    server.include_router(guarded)

    @server.tool(scopes="admin")
    def by_scopes() -> str:
        return ""

    @server.tool(annotations={"readOnlyHint": True})
    def reads() -> str:
        return ""

    @server.tool
    def by_scheme(user: Annotated[None, Depends(bearer)]) -> str:
        return ""

    @server.tool
    def by_security(user: Annotated[None, Security(connection, scopes=["admin"])]) -> str:
        return ""

    @server.tool
    def by_a_header(user: Annotated[None, Depends(by_header)]) -> str:
        return ""

    assert not warned(fastapi(server), caplog)


def optional_header(x_tenant: Annotated[str, Header()] = "nobody") -> None: ...


def optional_cookie(tenant: Annotated[str | None, Cookie()] = None) -> None: ...


def header_of_any_client(user_agent: Annotated[str, Header()]) -> None: ...


class Wanted(BaseModel):
    x_tenant: str = "nobody"


class Needed(BaseModel):
    x_tenant: str = "nobody"
    x_token: str


class OfAnyClient(BaseModel):
    user_agent: str
    kind: str = Field(alias="Content-Type")
    x_tenant: str = "nobody"


class Aliased(BaseModel):
    user_agent: str = Field(alias="X-Token")


def model_of_any_client(headers: Annotated[OfAnyClient, Header()]) -> None: ...


def aliased_model(headers: Annotated[Aliased, Header()]) -> None: ...


def optional_model(headers: Annotated[Wanted, Header()]) -> None: ...


def needed_model(headers: Annotated[Needed, Header()]) -> None: ...


def needed_cookie(tenant: Annotated[str, Cookie()]) -> None: ...


def around(inner: Any) -> Any:
    def outer(value: Any = Depends(inner)) -> None: ...  # noqa: B008

    return outer


@pytest.mark.parametrize(
    ("dependency", "is_open"),
    [
        (connection, True),
        (optional_header, True),
        (around(optional_header), True),
        (optional_cookie, True),
        (optional_model, True),
        (header_of_any_client, True),
        (model_of_any_client, True),
        (HTTPBearer(auto_error=False), True),
        (around(HTTPBearer(auto_error=False)), False),
        (HTTPBearer(), False),
        (by_header, False),
        (around(by_header), False),
        (needed_cookie, False),
        (needed_model, False),
        (aliased_model, False),
    ],
    ids=[
        *("nothing", "optional header", "optional header within", "optional cookie"),
        *("model of optional headers", "User-Agent", "model with User-Agent"),
        "scheme without auto_error",
        *("dependency on a scheme without auto_error", "scheme", "header", "header within"),
        *("cookie", "model with a header", "model with an alias"),
    ],
)
def test_a_dependency_guards_if_it_refuses_who_has_no_credentials(
    dependency: Any, is_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = MCPServer("open")

    @server.tool
    def pay(db: Annotated[Any, Depends(dependency)]) -> str:
        return ""

    assert warned(fastapi(server), caplog) is is_open


class Gate:
    """Middleware that may refuse."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def test_middleware_of_the_application_may_guard(caplog: pytest.LogCaptureFixture) -> None:
    assert not warned(starlette(build(), middleware=[Middleware(Gate)]), caplog)
    assert warned(starlette(build(), middleware=[Middleware(GZipMiddleware)]), caplog)
    server = build()
    server.add_middleware(Gate)
    assert not warned(alone(server), caplog)


def test_a_before_request_function_may_guard(caplog: pytest.LogCaptureFixture) -> None:
    app = flask(build())
    app.before_request(lambda: None)
    assert not warned(app, caplog)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_blueprint_guards_its_tools_if_it_has_a_function(
    guarded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask(MCPServer("blueprints"))
    blueprint = MCPBlueprint("orders", __name__)

    @blueprint.tool
    def pay() -> str:
        return "paid"

    if guarded:
        blueprint.before_request(lambda: None)
    app.register_blueprint(blueprint)
    assert warned(app, caplog) is not guarded


def test_flask_says_in_its_configuration_that_it_is_meant(caplog: Any) -> None:
    assert not warned(flask(build(), MCP_OPEN=True), caplog)


def test_debug_mode_of_the_host_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    assert not warned(starlette(build(), debug=True), caplog)
    assert not warned(flask(build(), DEBUG=True), caplog)


def test_a_server_alone_warns_when_its_web_server_starts_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with TestClient(build(), base_url="http://localhost"):
        assert "ANYBODY" in caplog.text
    with TestClient(build(open=True), base_url="http://localhost") as client:
        caplog.clear()
        client.get("/tools")
        assert "ANYBODY" not in caplog.text


def test_the_plain_http_face_warns_too(caplog: pytest.LogCaptureFixture) -> None:
    server = MCPServer("tools")
    tools = ToolsRouter()

    @tools.tool
    def pay() -> str:
        return "paid"

    server.include_router(tools)
    TestClient(server, base_url="http://localhost").get("/tools")
    assert "ANYBODY" in caplog.text


def test_who_has_started_the_process_is_not_anybody(caplog: pytest.LogCaptureFixture) -> None:
    headers, body = stateless("tools/list")
    request = Request("POST", headers, body, mirrors_headers=False, is_trusted_local=True)
    build().core.wsgi_endpoint.respond_to(request)
    assert "ANYBODY" not in caplog.text


def test_tools_without_a_description_are_named_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "mcp_mount")
    server = MCPServer("shop", open=True)
    server.tool(name="bare")(lambda: "")
    server.tool(name="told", description="Tells.")(lambda: "")
    with Client(server) as client:
        client.list_tools()
    [line] = [one.getMessage() for one in caplog.records if "no description" in one.getMessage()]
    assert line.startswith("Of the server 'shop', 1 tool has no description")
    assert "bare" in line
    assert "told" not in line


READ = {"orders:read": "See your orders"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"auth": SignIn(scopes=READ)}, ["orders:write"]),
        ({"auth": SignIn()}, ["orders:read", "orders:write"]),
        ({"auth": SignIn(scopes=READ), "scopes": "shop"}, ["shop", "orders:write"]),
        ({"auth": SignIn(scopes=READ | {"orders:write": "Cancel orders"})}, []),
        (
            {
                "auth": SignIn(scopes={"all": "Everything"}),
                "scope_hierarchy": {"all": ["orders:read", "orders:write"]},
            },
            [],
        ),
        # Its keys may have any scope.
        ({"auth": [SignIn(scopes=READ), KEYS]}, []),
        ({"auth": KEYS}, []),
    ],
    ids=["one", "no words", "server", "all", "implied", "keys besides", "keys"],
)
def test_a_scope_that_nobody_can_have_who_signs_in_is_told(
    options: dict[str, Any], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = MCPServer("shop", secret_key="k", **options)

    @server.tool(scopes="orders:read")
    def orders() -> str:
        return ""

    @server.tool(scopes=["orders:read", "orders:write"])
    def cancel() -> str:
        return ""

    warned(server, caplog)
    lines = [
        one.getMessage() for one in caplog.records if "Nobody who signs in" in one.getMessage()
    ]
    assert [line.partition("the scope ")[2].split("'")[1] for line in lines] == told
    if told == ["orders:write"]:
        assert lines == [
            "Nobody who signs in to the server 'shop' may use cancel: the scope 'orders:write' is "
            "not among the scopes= of its SignIn. Add it there, with words for the people who "
            "consent."
        ]
