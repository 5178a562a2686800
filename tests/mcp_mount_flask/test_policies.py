"""Policies and rules in Flask: by its configuration, its blueprints, its users."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from flask_login import LoginManager, UserMixin

from mcp_mount import SyncContext
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.testing import Client
from mcp_mount_flask import MCPBlueprint, MCPMount

KEY = "ada-has-this-api-key"


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name
        self.roles = ["clerk"] if name == "ada" else []


def build(**config: Any) -> tuple[Flask, MCPMount]:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="for-tests-only", **config)
    manager = LoginManager(app)

    @manager.request_loader
    def load(request: Any) -> User | None:
        name = request.headers.get("x-user")
        return User(name) if name else None

    mcp = MCPMount(app)

    @mcp.tool
    def whoami(ctx: SyncContext) -> str:
        assert ctx.request.path == request.path
        return str(ctx.caller)

    @mcp.tool(roles="clerk")
    def book() -> str:
        return "booked"

    return app, mcp


def test_the_configuration_declares_policies_for_all() -> None:
    app, _ = build(MCP_THROTTLE="2/minute", MCP_LOG_CALLS=True, MCP_TIMEOUT=5)
    with Client(app, headers={"x-user": "ada"}) as ada:
        assert [ada.call_tool("whoami").is_error for _ in range(3)] == [False, False, True]
    with Client(app, headers={"x-user": "bob"}) as bob:
        assert bob.call_tool("whoami").text == "bob"


def test_a_blueprint_declares_them_for_its_tools() -> None:
    app, _ = build()
    reports = MCPBlueprint("reports", __name__, throttle="1/minute", roles="clerk")

    @reports.tool
    def report() -> str:
        return "all is well"

    app.register_blueprint(reports)
    with Client(app, headers={"x-user": "ada"}) as ada:
        assert [ada.call_tool("report").is_error for _ in range(2)] == [False, True]
    with Client(app, headers={"x-user": "bob"}) as bob:
        assert [tool["name"] for tool in bob.list_tools()] == ["whoami"]


def test_roles_are_those_of_the_users() -> None:
    app, _ = build()
    for user, tools in (("ada", ["whoami", "book"]), ("bob", ["whoami"])):
        with Client(app, headers={"x-user": user}) as client:
            assert [tool["name"] for tool in client.list_tools()] == tools


def test_the_commands_of_the_terminal_need_no_credentials() -> None:
    app, _ = build(MCP_AUTH=APIKeys({"robot": KEY}))
    runner = app.test_cli_runner()
    assert "whoami" in runner.invoke(args=["mcp", "list"]).output
    assert runner.invoke(args=["mcp", "call", "whoami"]).output.strip() == "None"


def test_keys_stand_beside_users() -> None:
    keys = APIKeys([APIKey("robot", KEY, roles="clerk")])
    app, _ = build(MCP_AUTH=keys, MCP_AUTH_REQUIRED=False)
    with Client(app, headers={"x-user": "bob"}) as bob:
        assert bob.call_tool("whoami").text == "bob"
    with Client(app, headers={"x-api-key": KEY}) as robot:
        assert robot.call_tool("whoami").text == "robot"
        assert robot.call_tool("book").text == "booked"
