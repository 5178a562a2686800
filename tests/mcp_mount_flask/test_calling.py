"""Calls of routes: whose requests they are, with what prefix, and where a refusal leads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, g, jsonify, redirect, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from mcp_mount import MCPServer, SyncContext, mount_wsgi
from mcp_mount.auth import AccessToken, APIKey, APIKeys
from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount, expose, mount, mount_asgi


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def build() -> tuple[Flask, MCPServer]:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    manager = LoginManager(app)
    manager.session_protection = "strong"
    manager.user_loader(User)

    @app.get("/login/<name>")
    def log_in(name: str) -> str:
        login_user(User(name))
        return "in"

    @app.get("/links")
    def links() -> Any:
        return jsonify(
            link=url_for("links"),
            whole=url_for("links", _external=True),
            address=request.remote_addr,
        )

    @app.get("/whoami")
    def whoami() -> str:
        return str(current_user.get_id())

    server = MCPServer("shop", secret_key="k")
    expose(app, server, operations=["links", "whoami"])
    return app, server


class Hosts:
    every: ClassVar[dict[str, Any]] = {
        "inside": lambda app, server: MCPMount(app, "/mcp", server).path and app,
        "beside": lambda app, server: mount(app, "/mcp", server),
        "beside any": lambda app, server: mount_wsgi(app, "/mcp", server),
        "asgi": lambda app, server: mount_asgi(app, "/mcp", server),
    }


def call(whole: Any, tool: str, headers: Any = None, path: str = "/mcp", **given: Any) -> Any:
    with Client(whole, headers={"host": "shop.example", **(headers or {})}, path=path) as client:
        return client.call_tool(tool, given)


@pytest.mark.parametrize("host", Hosts.every)
def test_links_are_the_applications_own(host: str) -> None:
    found = call(Hosts.every[host](*build()), "links").structured
    assert (found["link"], found["whole"]) == ("/links", "http://shop.example/links")


@pytest.mark.parametrize("host", ["inside", "beside", "beside any"])
def test_links_have_the_prefix_of_the_application(host: str) -> None:
    app, server = build()
    app.config["APPLICATION_ROOT"] = "/pre"
    whole = DispatcherMiddleware(Flask("outer"), {"/pre": Hosts.every[host](app, server)})
    found = call(whole, "links", path="/pre/mcp").structured
    assert (found["link"], found["whole"]) == ("/pre/links", "http://shop.example/pre/links")


PROXIED = {
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "public.example",
    "x-forwarded-prefix": "/pre",
}


@pytest.mark.parametrize("host", ["inside", "beside"])
@pytest.mark.parametrize("place", ["inside", "outside"])
def test_a_proxy_is_believed_once(host: str, place: str) -> None:
    def fix(application: Any) -> ProxyFix:
        return ProxyFix(application, x_for=1, x_proto=1, x_host=1, x_prefix=1)

    app, server = build()
    whole: Any
    if place == "inside" and host == "inside":
        app.wsgi_app = fix(app.wsgi_app)  # type: ignore[method-assign]
        whole = Hosts.every[host](app, server)
    else:
        whole = fix(Hosts.every[host](app, server))
    assert call(whole, "links", PROXIED).structured == {
        "link": "/pre/links",
        "whole": "https://public.example/pre/links",
        "address": "203.0.113.7",
    }


def cookies(app: Flask, name: str, agent: str) -> dict[str, str]:
    browser = app.test_client()
    browser.get(f"/login/{name}", headers={"user-agent": agent})
    cookie = browser.get_cookie("session")
    assert cookie is not None
    return {"cookie": f"session={cookie.value}", "user-agent": agent}


@pytest.mark.parametrize("host", Hosts.every)
def test_a_view_sees_the_caller_by_their_session(host: str) -> None:
    app, server = build()
    whole = Hosts.every[host](app, server)
    assert call(whole, "whoami", cookies(app, "ada", "tests/1")).text == "ada"
    assert call(whole, "whoami").text == "None"


def test_without_headers_that_go_along_a_view_sees_nobody() -> None:
    app, _ = build()
    mcp = MCPMount(app)
    expose(app, mcp, operations="whoami", forward=[])

    @mcp.tool
    def both(ctx: SyncContext) -> str:
        return f"{current_user.get_id()} {ctx.call_tool('whoami')}"

    assert call(app, "both", cookies(app, "ada", "tests/1")).text == "ada None"


def test_a_view_leaves_what_its_caller_has_in_g() -> None:
    app, _ = build()
    mcp = MCPMount(app)

    @app.teardown_appcontext
    def close(error: Any) -> None:
        g.pop("db", None)

    @app.before_request
    def load() -> None:
        g.db = request.path

    expose(app, mcp, operations="whoami")

    @mcp.tool
    def both(ctx: SyncContext) -> str:
        ctx.call_tool("whoami")
        return str(g.db)

    assert call(app, "both").text == "/mcp"


KEY = "a-long-secret-of-ada-1234567890"


@pytest.mark.parametrize("host", Hosts.every)
def test_a_view_sees_the_user_of_an_access_token(host: str) -> None:
    app, server = build()

    def find(token: AccessToken) -> User:
        return User("lovelace")

    server.configure(auth=APIKeys([APIKey("ada", KEY)]), find_user=find)
    whole = Hosts.every[host](app, server)
    expected = "None" if host == "beside any" else "lovelace"
    assert call(whole, "whoami", {"x-api-key": KEY}).text == expected


def guarded(**options: Any) -> Flask:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    manager = LoginManager(app)
    manager.request_loader(lambda request: None)
    orders = Blueprint("orders", __name__, url_prefix="/orders")
    app.add_url_rule("/einlass", "enter", lambda: "")
    app.add_url_rule("/orders/enter", "enter_orders", lambda: "")

    @orders.delete("/<int:number>")
    @login_required
    def cancel(number: int) -> str:
        return "cancelled"

    app.register_blueprint(orders)
    manager.login_view = options.pop("login_view", "enter")
    manager.blueprint_login_views = options.pop("blueprint_login_views", {})
    app.config.update(options)
    return app


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"login_view": "/einlass"},
        {"login_view": "https://sso.example.org/einlass"},
        {"FORCE_HOST_FOR_REDIRECTS": "shop.example"},
        {"blueprint_login_views": {"orders": "enter_orders"}},
        {"APPLICATION_ROOT": "/pre"},
    ],
)
def test_a_redirect_to_a_login_says_that_one_is_needed(options: dict[str, Any]) -> None:
    app = guarded(**options)
    mcp = MCPMount(app)
    expose(app, mcp, operations="cancel")
    refused = call(app, "cancel", number=7)
    assert (refused.is_error, "Authentication required" in refused.text) == (True, True)


def test_a_login_that_the_application_has_by_itself_may_be_named() -> None:
    app = Flask("shop", static_folder=None)
    app.add_url_rule("/einlass", "enter", lambda: "")
    app.add_url_rule("/orders", "orders", lambda: redirect("/einlass"), methods=["POST"])
    mcp = MCPMount(app)
    expose(app, mcp, operations="orders", login=["enter"])
    refused = call(app, "orders")
    assert (refused.is_error, "Authentication required" in refused.text) == (True, True)


def test_a_get_that_redirects_has_not_answered() -> None:
    app = Flask("shop", static_folder=None)
    app.add_url_rule("/old", "old", lambda: redirect("/new"))
    mcp = MCPMount(app)
    expose(app, mcp, operations="old")
    refused = call(app, "old")
    assert (refused.is_error, "/new" in refused.text) == (True, True)


def test_a_form_that_is_done_leads_on() -> None:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"

    @app.post("/orders")
    def create() -> Any:
        session["ordered"] = True
        return redirect("/orders")

    mcp = MCPMount(app)
    expose(app, mcp, operations="create")
    made = call(app, "create")
    assert (made.is_error, made.text) == (False, "Done; see /orders")


def test_the_login_of_flask_appbuilder_is_known() -> None:
    app = Flask("shop", static_folder=None)
    app.add_url_rule("/einlass", "AuthDBView.login", lambda: "")
    app.add_url_rule("/orders", "orders", lambda: redirect("/einlass"))
    auth_view = SimpleNamespace(endpoint="AuthDBView")
    app.appbuilder = SimpleNamespace(  # type: ignore[attr-defined]
        sm=SimpleNamespace(auth_view=auth_view)
    )
    mcp = MCPMount(app)
    expose(app, mcp, operations="orders")
    assert "Authentication required" in call(app, "orders").text
