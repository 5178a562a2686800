"""Flask-WTF's CSRFProtect for the whole application: MCP clients pass, cookies need their token."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, session
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf

from mcp_mount.testing import Client, RPCError
from mcp_mount_flask import MCPMount
from tests.requests import stateless


class User(UserMixin):
    id = "ada"


def build(*, first: bool) -> Flask:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    manager = LoginManager(app)
    manager.user_loader(lambda name: User())
    manager.request_loader(lambda request: User() if "x-api-key" in request.headers else None)
    if first:
        CSRFProtect(app)
    mcp = MCPMount(app, "/mcp")
    if not first:
        CSRFProtect(app)

    @mcp.tool
    def whoami() -> str:
        return str(current_user.get_id())

    @app.get("/login")
    def login() -> str:
        login_user(User())
        return str(generate_csrf())

    @app.post("/form")
    def form() -> str:
        return "in"

    return app


def whoami(app: Flask, headers: dict[str, str], revision: str = "2026-07-28") -> str:
    with Client(app, headers=headers, revision=revision) as client:
        return client.call_tool("whoami").text


@pytest.fixture(params=[True, False], ids=["before", "after"])
def app(request: pytest.FixtureRequest) -> Flask:
    return build(first=request.param)


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_a_client_without_a_cookie_needs_no_token(app: Flask, revision: str) -> None:
    assert whoami(app, {}, revision) == "None"
    assert whoami(app, {"x-api-key": "k"}, revision) == "ada"
    # The views of the application are protected as they were.
    assert app.test_client().post("/form").status_code == 400


def test_a_session_cookie_counts_with_its_token_only(app: Flask) -> None:
    browser = app.test_client()
    token = browser.get("/login").text
    cookie = browser.get_cookie("session")
    assert cookie is not None
    headers = {"cookie": f"session={cookie.value}"}
    with pytest.raises(RPCError, match="CSRF: The CSRF token is missing"):
        whoami(app, headers)
    with pytest.raises(RPCError, match="CSRF: The CSRF token is invalid"):
        whoami(app, {**headers, "x-csrftoken": "wrong"})
    assert whoami(app, {**headers, "x-csrftoken": token}) == "ada"


def test_a_refusal_sets_no_cookie_for_which_a_token_is_needed_later(app: Flask) -> None:
    """Flask-Login flashes a message, which begins a session."""
    app.login_manager.login_view = "login"  # type: ignore[attr-defined]
    [mcp] = app.extensions["mcp_mount"].values()

    @mcp.tool
    @login_required
    def mine() -> str:
        return "mine"

    body = stateless("tools/call", {"name": "mine", "arguments": {}})
    refused = app.test_client().post("/mcp", headers=body[0], data=body[1])
    assert "Authentication required" in refused.json["result"]["content"][0]["text"]
    assert "Set-Cookie" not in refused.headers


def test_where_the_protection_is_off_a_cookie_is_enough() -> None:
    app = build(first=True)
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    browser.get("/login")
    cookie = browser.get_cookie("session")
    assert cookie is not None
    assert whoami(app, {"cookie": f"session={cookie.value}"}) == "ada"


def test_the_plain_http_side_of_tools_has_the_same_rule(app: Flask) -> None:
    from mcp_mount import ToolsRouter

    tools = ToolsRouter()

    @tools.tool
    def own() -> dict[str, str]:
        return {"user": str(session.get("_user_id"))}

    app.extensions["mcp_mount"]["/mcp"].server.include_router(tools)
    browser = app.test_client()
    assert browser.post("/mcp/tools/own", json={}).json == {"user": "None"}
    token = browser.get("/login").text
    assert browser.post("/mcp/tools/own", json={}).status_code == 403
    headers: Any = {"x-csrftoken": token}
    assert browser.post("/mcp/tools/own", json={}, headers=headers).json == {"user": "ada"}


def test_an_exposed_view_needs_a_token_where_a_cookie_goes_along(app: Flask) -> None:
    from mcp_mount_flask import expose

    expose(app, app.extensions["mcp_mount"]["/mcp"].server, operations="form")
    with Client(app, headers={"authorization": "Bearer ada"}) as client:
        assert client.call_tool("form").text == "in"
    # Other requests for the view are protected as they were.
    assert app.test_client().post("/form").status_code == 400

    browser = app.test_client()
    token = browser.get("/login").text
    cookie = browser.get_cookie("session")
    assert cookie is not None
    headers = {"cookie": f"session={cookie.value}", "x-csrftoken": token}
    with Client(app, headers=headers) as client:
        assert client.call_tool("form").text == "in"


@pytest.mark.parametrize("sent", [{"cookie": "own=1"}, {"authorization": "Basic YTpi"}])
def test_an_exposed_view_needs_a_token_for_whatever_a_browser_sends_by_itself(
    app: Flask, sent: dict[str, str]
) -> None:
    from mcp_mount_flask import expose

    expose(app, app.extensions["mcp_mount"]["/mcp"].server, operations="form")
    with Client(app, headers=sent) as client:
        result = client.call_tool("form")
    assert result.is_error
    assert "CSRF token is missing" in result.text


def test_clients_of_models_are_refused_in_their_form(app: Flask) -> None:
    browser = app.test_client()
    browser.get("/login")
    answer = browser.post("/mcp/v1/chat/completions", json={"messages": []})
    assert (answer.status_code, answer.json) == (
        403,
        {
            "error": {
                "message": "CSRF: The CSRF token is missing.",
                "type": "permission_error",
                "param": None,
                "code": "access_denied",
            }
        },
    )
