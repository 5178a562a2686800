"""Beside a Flask application: its request, its URLs and its users, as inside."""

from __future__ import annotations

from threading import Event
from typing import Any, ClassVar

import pytest
from flask import Flask, current_app, g, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_user
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from mcp_mount import MCPServer
from mcp_mount.auth import AccessToken, APIKey, APIKeys
from mcp_mount.testing import Client, RPCError
from mcp_mount_flask import MCPMount, mount, mount_asgi


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def build() -> tuple[Flask, MCPServer]:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    manager = LoginManager(app)
    manager.user_loader(User)
    app.add_url_rule("/orders/<int:number>", "order", lambda number: "")

    @app.get("/login/<name>")
    def login(name: str) -> str:
        login_user(User(name))
        session["seen"] = name
        return "in"

    server = MCPServer("shop", secret_key="k")

    def where() -> str:
        return f"{url_for('order', number=7)} {url_for('order', number=7, _external=True)}"

    async def where_async() -> str:
        return where()

    server.tool(where)
    server.tool(where_async)

    @server.tool(cache=60)
    def whoami() -> str:
        return f"{current_user.get_id()} {session.get('seen')}"

    @server.tool
    async def whoami_async() -> str:
        return f"{current_user.get_id()} {request.path} {request.headers['x-mark']}"

    @server.tool(permission=lambda request: request.headers.get("x-mark") == "staff")
    def staff() -> str:
        return current_app.name

    return app, server


@pytest.mark.parametrize("kind", [mount, mount_asgi])
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("shop.example", ""),
        ("shop.example:8443", ""),
        ("evil.example", "'evil.example' is not served"),
    ],
)
def test_trusted_hosts_hold_in_front_of_the_application(kind: Any, host: str, reason: str) -> None:
    app, server = build()
    app.config["TRUSTED_HOSTS"] = ["shop.example"]
    with Client(kind(app, "/mcp", server), headers={"host": host}) as client:
        if not reason:
            assert client.list_tools()
            return
        with pytest.raises(RPCError, match=reason):
            client.list_tools()


class Hosts:
    every: ClassVar[dict[str, Any]] = {
        "inside": lambda app, server: MCPMount(app, "/mcp", server).path and app,
        "wsgi": lambda app, server: mount(app, "/mcp", server),
        "asgi": lambda app, server: mount_asgi(app, "/mcp", server),
    }


@pytest.fixture(params=Hosts.every)
def hosted(request: pytest.FixtureRequest) -> tuple[Flask, Any]:
    app, server = build()
    return app, Hosts.every[request.param](app, server)


def call(whole: Any, tool: str, headers: dict[str, str] | None = None, path: str = "/mcp") -> str:
    with Client(whole, headers=headers or {}, path=path) as client:
        return client.call_tool(tool).text


@pytest.mark.parametrize("tool", ["where", "where_async"])
def test_urls_in_a_tool_are_the_applications_own(hosted: tuple[Flask, Any], tool: str) -> None:
    _, whole = hosted
    told = call(whole, tool, {"host": "shop.example"})
    assert told == "/orders/7 http://shop.example/orders/7"


def test_urls_in_a_tool_have_the_prefix_of_the_application() -> None:
    app, server = build()
    whole = DispatcherMiddleware(Flask("outer"), {"/pre": mount(app, "/mcp", server)})
    assert call(whole, "where", {"host": "a.example"}, "/pre/mcp") == (
        "/pre/orders/7 http://a.example/pre/orders/7"
    )


def cookies(app: Flask, name: str) -> dict[str, str]:
    browser = app.test_client()
    browser.get(f"/login/{name}")
    cookie = browser.get_cookie("session")
    assert cookie is not None
    return {"cookie": f"session={cookie.value}", "x-mark": "m"}


def test_a_session_is_that_of_the_application(hosted: tuple[Flask, Any]) -> None:
    app, whole = hosted
    assert call(whole, "whoami_async", cookies(app, "ada")) == "ada /mcp m"


def test_what_is_cached_for_a_user_is_for_that_user(hosted: tuple[Flask, Any]) -> None:
    app, whole = hosted
    assert call(whole, "whoami", cookies(app, "ada")) == "ada ada"
    assert call(whole, "whoami", cookies(app, "bob")) == "bob bob"
    assert call(whole, "whoami") == "None None"


def test_a_permission_gets_flasks_request(hosted: tuple[Flask, Any]) -> None:
    _, whole = hosted
    assert call(whole, "staff", {"x-mark": "staff"}) == "shop"
    with Client(whole) as client:
        assert "staff" not in [tool["name"] for tool in client.list_tools()]


@pytest.mark.parametrize("host", ["wsgi", "asgi"])
def test_the_functions_of_the_application_do_not_see_what_is_beside_it(host: str) -> None:
    app, server = build()
    seen: list[str] = []
    ended = Event()
    app.before_request(lambda: seen.append(request.path))

    @app.teardown_request
    def end(error: Any) -> None:
        if g.get("mark") == "kept":
            ended.set()

    @server.tool
    def mark() -> str:
        g.mark = "kept"
        return "done"

    assert call(Hosts.every[host](app, server), "mark") == "done"
    assert seen == []
    assert ended.wait(20)


class Key:
    ada = "a-long-secret-of-ada-1234567890"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("has_login", [False, True])
@pytest.mark.parametrize("host", Hosts.every)
def test_the_user_of_a_token_is_the_one_of_the_request(
    host: str, has_login: bool, is_async: bool
) -> None:
    app, server = Flask("shop"), MCPServer("shop", secret_key="k")
    app.secret_key = "k"
    if has_login:
        LoginManager(app).user_loader(User)

    def find(token: AccessToken) -> Any:
        return User("lovelace") if token.subject == "ada" else None

    async def find_async(token: AccessToken) -> Any:
        return find(token)

    keys = APIKeys([APIKey("ada", Key.ada), APIKey("eve", Key.ada[::-1])])
    server.configure(auth=keys, find_user=find_async if is_async else find)

    def whoami() -> str:
        return str((current_user if has_login else g.user).get_id())

    async def whoami_async() -> str:
        return whoami()

    server.tool(whoami)
    server.tool(whoami_async)
    whole = Hosts.every[host](app, server)
    for tool in ("whoami", "whoami_async"):
        assert call(whole, tool, {"x-api-key": Key.ada}) == "lovelace"
        with pytest.raises(RPCError, match="nobody here"):
            call(whole, tool, {"x-api-key": Key.ada[::-1]})


@pytest.mark.parametrize("host", Hosts.every)
def test_a_cookie_does_not_say_whose_token_it_is(host: str) -> None:
    app, server = build()
    server.configure(auth=APIKeys([APIKey("service", Key.ada)]), auth_required=False)
    whole = Hosts.every[host](app, server)
    assert call(whole, "whoami_async", cookies(app, "ada")) == "ada /mcp m"
    with_key = {**cookies(app, "ada"), "x-api-key": Key.ada}
    assert call(whole, "whoami_async", with_key) == "None /mcp m"
