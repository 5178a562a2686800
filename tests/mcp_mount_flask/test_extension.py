"""The extension: configuration, factories, blueprints, the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from typing import Any, cast

import pytest
from celery import Celery
from click.testing import Result
from flask import Blueprint, Flask, abort, g, redirect, request
from flask_login import LoginManager, UserMixin, current_user, login_required
from flask_wtf import CSRFProtect

from mcp_mount import DefinitionError, ToolsRouter
from mcp_mount.tasks import CeleryTasks
from mcp_mount.testing import Client, RPCError
from mcp_mount_flask import MCPBlueprint, MCPMount, expose
from sample_projects.processes import ROOT
from tests.requests import JSON_HEADERS, initialize, message, session_headers

tools = MCPBlueprint("stock", __name__, url_prefix="/stock")


@tools.get("/page")
def page() -> str:
    return "page"


@tools.tool
def count(sku: str) -> int:
    """How many are left."""
    return len(sku)


@tools.resource("stock://all")
def all_of_it() -> str:
    return request.path


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def build(**config: Any) -> tuple[Flask, MCPMount]:
    """An application, made as factories make them."""
    app = Flask("shop")
    app.config.update(SECRET_KEY="k", **config)
    manager = LoginManager(app)
    manager.user_loader(lambda name: User(name) if name in ("ada", "bob") else None)
    manager.request_loader(lambda request: manager._user_callback(request.headers.get("x-user")))
    mcp = MCPMount()

    @mcp.tool
    def whoami() -> str:
        """Who calls."""
        return str(current_user.get_id())

    @mcp.tool(permission=lambda request: current_user.get_id() == "ada")
    def only_ada(note: str = "") -> str:
        return f"ada {note}"

    mcp.init_app(app)
    return app, mcp


def names(app: Flask, path: str = "/mcp", **options: Any) -> list[str]:
    with Client(app, path=path, **options) as client:
        return [tool["name"] for tool in client.list_tools()]


def test_configuration_sets_what_arguments_set() -> None:
    app, _ = build(
        MCP_NAME="the shop",
        MCP_VERSION="7",
        MCP_INSTRUCTIONS="Ask.",
        MCP_ALLOWED_ORIGINS=["https://app.example"],
        MCP_MAX_BODY_BYTES=1000,
    )
    with Client(app) as client:
        found = client.request("server/discover")
    assert found["instructions"] == "Ask."
    info = found["_meta"]["io.modelcontextprotocol/serverInfo"]
    assert info == {"name": "the shop", "version": "7"}
    with Client(app, headers={"origin": "https://app.example"}) as client:
        assert client.call_tool("whoami").text == "None"
        with pytest.raises(RPCError, match="exceeds 1000 bytes"):
            client.call_tool("whoami", {"x": "y" * 1000})


def test_a_key_that_means_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="no key 'MCP_NMAE'; did you mean 'MCP_NAME'"):
        build(MCP_NMAE="x")


def test_a_queue_of_tasks_needs_a_backplane() -> None:
    app = Flask("app")
    app.config["MCP_TASKS"] = CeleryTasks(Celery("desk"))
    with pytest.raises(DefinitionError, match=r"\(MCP_TASKS\) needs backplane= \(MCP_BACKPLANE\)"):
        MCPMount(app)
    app.config["MCP_BACKPLANE"] = "redis://127.0.0.1:1/0"
    MCPMount(app)


def test_a_permission_may_be_configured() -> None:
    app, _ = build(MCP_PERMISSION=lambda request: current_user.is_authenticated)
    with Client(app) as client, pytest.raises(RPCError, match="Authentication required"):
        client.list_tools()
    assert names(app, headers={"x-user": "bob"}) == ["whoami"]


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_blueprint_brings_its_tools(first: bool) -> None:
    app = Flask("shop")
    if first:
        app.register_blueprint(tools)
    MCPMount(app, "/mcp")
    MCPMount(app, "/other")
    if not first:
        app.register_blueprint(tools)
    for path in ("/mcp", "/other"):
        assert names(app, path) == ["count"]
    with Client(app) as client:
        assert client.call_tool("count", {"sku": "abc"}).text == "3"
        assert client.read_resource("stock://all")[0]["text"] == "/mcp"
    assert app.test_client().get("/stock/page").text == "page"


def test_a_blueprint_may_be_for_one_server_and_for_some_callers() -> None:
    blueprint = MCPBlueprint(
        "b", __name__, mounts=("/mcp",), permission=lambda request: "x-user" in request.headers
    )
    blueprint.tool(name="one")(lambda: "one")
    app = Flask("shop")
    MCPMount(app, "/mcp")
    MCPMount(app, "/other")
    app.register_blueprint(blueprint)
    assert names(app, headers={"x-user": "ada"}) == ["one"]
    assert names(app) == []
    assert names(app, "/other", headers={"x-user": "ada"}) == []


def test_a_blueprint_serves_many_applications() -> None:
    for _ in range(3):
        app, _ = build()
        app.register_blueprint(tools)
        assert names(app) == ["whoami", "count"]


def test_a_name_that_is_taken_is_refused() -> None:
    app, mcp = build()
    mcp.tool(name="count")(lambda: "mine")
    with pytest.raises(DefinitionError, match="already defined"):
        app.register_blueprint(tools)


def invoke(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["mcp", *words])


def test_list_shows_what_the_user_may_use() -> None:
    app, _ = build()
    app.register_blueprint(tools)
    assert invoke(app, "list").output == (
        "Tools:\n  whoami  Who calls.\n  count(sku)  How many are left.\n"
        "Resources:\n  stock://all\n"
    )
    assert "only_ada([note])" in invoke(app, "list", "--user", "ada").output


def test_exposed_routes_are_called_with_the_rights_of_the_user() -> None:
    app, mcp = build()

    @app.get("/me", endpoint="me")
    @login_required
    def me() -> str:
        return str(current_user.get_id())

    mcp.expose(operations=["me"])
    assert invoke(app, "call", "me", "--user", "ada").output == "ada\n"
    assert "Error: " in invoke(app, "call", "me").output


def test_call_calls_with_the_rights_of_the_user() -> None:
    app, _ = build()
    assert invoke(app, "call", "whoami", "--user", "bob").output == "bob\n"
    assert invoke(app, "call", "only_ada", "note=7", "--user", "ada").output == "ada 7\n"
    assert "no tool 'only_ada'" in invoke(app, "call", "only_ada", "--user", "bob").output
    assert "There is no user 'eve'" in invoke(app, "call", "whoami", "--user", "eve").output
    assert invoke(app, "call", "whoami", "--json", "[]").exit_code == 1
    assert "--json: " in invoke(app, "call", "whoami", "--json", "{").output


def test_a_blueprint_for_a_server_that_is_nowhere_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, _ = build()
    lost = MCPBlueprint("lost", __name__, mounts=["/mpc", "/mcp/"])
    lost.tool(name="found")(lambda: "found")
    app.register_blueprint(lost)
    words = (
        "A blueprint is for the server at '/mpc' (mounts=), where there is none; "
        "did you mean '/mcp'?"
    )
    assert "found" in names(app)
    names(app)
    assert caplog.text.count(words) == 1
    listed = invoke(app, "list")
    assert (listed.exit_code, words in listed.output) == (1, True)
    with pytest.raises(ValueError, match="a mount point starts with '/'"):
        MCPBlueprint("wrong", __name__, mounts="mcp")


def test_a_list_says_that_all_is_for_others() -> None:
    app = Flask("shop")
    app.secret_key = "k"
    MCPMount(app).tool(name="one", permission=lambda request: False)(lambda: "one")
    assert invoke(app, "list").output == (
        "Nothing is for this caller; 1 entries are for others (see --user).\n"
    )


def test_a_list_says_that_a_server_has_nothing() -> None:
    app = Flask("shop")
    app.secret_key = "k"
    MCPMount(app)
    assert invoke(app, "list").output == "The server has no tools, resources or prompts.\n"


def test_two_servers_at_one_path_are_refused() -> None:
    app = Flask("shop")
    MCPMount(app, "/mcp")
    with pytest.raises(DefinitionError, match="already has a server at '/mcp'"):
        MCPMount(app, "/mcp")


def test_a_mount_whose_arguments_are_swapped_is_refused() -> None:
    swapped: Any = ("/mcp", Flask("shop"))
    with pytest.raises(TypeError, match="the application comes first"):
        MCPMount(*swapped)


def test_what_is_no_application_or_no_server_is_refused() -> None:
    wrong: Any = "shop"
    for mounting in (MCPMount, MCPMount().init_app):
        with pytest.raises(TypeError, match="takes a Flask application, not int"):
            mounting(cast("Any", 7))
    with pytest.raises(TypeError, match="takes a Flask application, not str"):
        expose(wrong, MCPMount().server)
    with pytest.raises(TypeError, match="server= must be an MCPServer, not str"):
        MCPMount(Flask("shop"), server=wrong)


def test_expose_refuses_what_is_no_server_and_says_what_to_write() -> None:
    app = Flask("shop")
    wrong: Any = app
    with pytest.raises(DefinitionError, match=r"expose\(app, mcp\), not Flask"):
        expose(app, wrong)


def test_expose_without_a_choice_says_how_to_choose() -> None:
    app = Flask("shop")
    app.add_url_rule("/orders", "orders", lambda: "")
    with pytest.raises(DefinitionError, match="operations= or paths=, or mark them with as_tool"):
        expose(app, MCPMount(app).server)


def test_one_of_several_servers_is_chosen() -> None:
    app, _ = build()
    MCPMount(app, "/other").tool(name="one")(lambda: "one")
    assert "Choose one with --path: /mcp, /other" in invoke(app, "list").output
    assert invoke(app, "call", "one", "--path", "/other").output == "one\n"
    assert "There is no server at '/x'" in invoke(app, "list", "--path", "/x").output


def with_gate(refuse: Any = None) -> Flask:
    """An application whose before_request functions set what its tools need."""
    app, mcp = build(TRUSTED_HOSTS=["shop.example"])

    @app.before_request
    def load() -> Any:
        g.tenant = f"tenant of {current_user.get_id()} at {request.path}"
        return refuse() if refuse is not None and current_user.get_id() != "ada" else None

    mcp.tool(name="tenant", description="x")(lambda: str(g.tenant))
    mcp.tool(name="tenant_permission", permission=lambda request: "ada" in g.tenant)(lambda: "in")
    return app


def test_commands_come_in_through_the_applications_functions_with_the_user() -> None:
    app = with_gate()
    assert invoke(app, "call", "tenant", "--user", "ada").output == "tenant of ada at /mcp\n"
    assert invoke(app, "call", "tenant").output == "tenant of None at /mcp\n"
    assert "tenant_permission" in invoke(app, "list", "--user", "ada").output
    assert "tenant_permission" not in invoke(app, "list", "--user", "bob").output


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda: abort(403, "Not for you"), "Not for you"),
        (lambda: ("Closed", 503), "Closed"),
        (lambda: redirect("/login"), "Authentication required"),
    ],
)
@pytest.mark.parametrize("command", [("list",), ("call", "tenant"), ("stdio",)])
def test_a_command_that_the_application_refuses_says_so(
    refuse: Any, words: str, command: tuple[str, ...]
) -> None:
    told = invoke(with_gate(refuse), *command, "--user", "bob")
    assert told.exit_code == 1
    assert "A before_request function of the application answers: " in told.output
    assert words in told.output


@pytest.mark.parametrize("protected", [False, True])
def test_a_testing_client_comes_in_as_a_user(protected: bool) -> None:
    from mcp_mount_flask.testing import Client as UserClient

    app = with_gate()
    if protected:
        CSRFProtect(app)
    with UserClient(app, user=User("ada"), headers={"host": "shop.example"}) as client:
        assert client.call_tool("tenant").text == "tenant of ada at /mcp"
        assert client.call_tool("only_ada").text == "ada "
    with pytest.raises(TypeError, match="must be a user of the application, not the name 'ada'"):
        UserClient(app, user="ada")


def application() -> Flask:
    """For `flask --app`."""
    return build()[0]


def test_stdio_serves_an_assistant() -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    tools = ("whoami", "only_ada")
    lines = [
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": name,
                "method": "tools/call",
                "params": {"name": name, "arguments": {}, "_meta": meta},
            }
        )
        for name in tools
    ]
    target = f"{__name__}:application()"
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", target, "mcp", "stdio", "--user", "ada"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        texts: list[str] = []
        for line in lines:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            texts.append(answer["result"]["content"][0]["text"])
        process.stdin.close()
        assert process.wait(60) == 0
    assert texts == ["ada", "ada "]


def guarded_blueprints(refuse: Any) -> Flask:
    """A blueprint with tools in another one; both look at each request before it comes in."""
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    inner = MCPBlueprint("inner", __name__)
    heard: list[str] = []

    @outer.before_request
    def outer_check() -> Any:
        heard.append("outer")
        return refuse() if request.headers.get("x-user") == "bob" else None

    @inner.before_request
    def inner_check() -> Any:
        g.tenant = request.headers.get("x-tenant")
        heard.append("inner")
        return refuse() if g.tenant is None else None

    @inner.teardown_request
    def inner_end(error: Any) -> None:
        heard.append("end")

    @inner.get("/view")
    def view() -> str:
        return str(g.tenant)

    @inner.tool(cache=60)
    def tenant() -> str:
        return str(g.tenant)

    @inner.resource("tenant://own")
    def own() -> str:
        return str(g.tenant)

    @inner.prompt
    def ask() -> str:
        return str(g.tenant)

    app = Flask("shop")
    MCPMount(app, "/mcp", store="memory://")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.extensions["heard"] = heard
    return app


@pytest.mark.parametrize(
    "refuse", [lambda: abort(403), lambda: redirect("/login"), lambda: ("no", 200), lambda: 1 / 0]
)
def test_a_blueprint_looks_at_who_comes_in_before_its_tools_as_before_its_views(
    refuse: Any,
) -> None:
    app = guarded_blueprints(refuse)
    acme = {"x-tenant": "acme"}
    with Client(app, headers=acme) as client:
        assert client.call_tool("tenant").text == "acme"
        assert client.read_resource("tenant://own")[0]["text"] == "acme"
        assert client.get_prompt("ask")[0]["content"]["text"] == "acme"
    assert app.test_client().get("/outer/view", headers=acme).text == "acme"
    for headers in ({}, {**acme, "x-user": "bob"}):
        assert names(app, headers=headers) == []
        with Client(app, headers=headers) as client:
            for use in (
                lambda: client.call_tool("tenant"),
                lambda: client.read_resource("tenant://own"),
                lambda: client.get_prompt("ask"),
            ):
                with pytest.raises(RPCError):
                    use()


def test_a_blueprint_looks_once_at_a_request_and_is_told_of_its_end() -> None:
    app = guarded_blueprints(lambda: abort(403))
    heard = app.extensions["heard"]
    assert names(app, headers={"x-tenant": "acme"}) == ["tenant"]
    assert heard == ["outer", "inner", "end"]


def test_blueprints_that_share_an_outer_one_enter_and_end_it_once() -> None:
    heard: list[str] = []
    outer = MCPBlueprint("outer", __name__, url_prefix="/outer")
    inner = [MCPBlueprint(name, __name__) for name in ("left", "right")]
    for blueprint in (outer, *inner):

        @blueprint.before_request
        def check(name: str = blueprint.name) -> Any:
            heard.append(name)
            return abort(403) if request.headers.get("x-closed") == name else None

        @blueprint.teardown_request
        def end(error: Any, name: str = blueprint.name) -> None:
            heard.append(f"end of {name}")

        blueprint.tool(name=blueprint.name)(lambda: "in")
    app = Flask("shop")
    MCPMount(app, "/mcp")
    for blueprint in inner:
        outer.register_blueprint(blueprint)
    app.register_blueprint(outer)
    ends = ["end of right", "end of left", "end of outer"]
    assert names(app) == ["outer", "left", "right"]
    assert heard == ["outer", "left", "right", *ends]
    heard.clear()
    assert names(app, headers={"x-closed": "left"}) == ["outer", "right"]
    assert heard == ["outer", "left", "right", *ends]
    heard.clear()
    assert names(app, headers={"x-closed": "outer"}) == []
    assert heard == ["outer", *ends]


@pytest.mark.parametrize("ends", ["outer", "inner"])
def test_a_blueprint_without_a_check_is_told_of_the_end_of_its_tools(ends: str) -> None:
    heard: list[str] = []
    outer, inner = Blueprint("outer", __name__), MCPBlueprint("inner", __name__)

    @{"outer": outer, "inner": inner}[ends].teardown_request
    def end(error: Any) -> None:
        heard.append("end")

    @inner.tool
    def greet() -> str:
        heard.append("greet")
        return "hello"

    app = Flask("shop")
    MCPMount(app, "/mcp")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    with Client(app) as client:
        heard.clear()
        assert client.call_tool("greet").text == "hello"
    assert heard[heard.index("greet") :] == ["greet", "end"]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/tools/greet"])
def test_a_body_that_the_application_has_read_before_is_served(path: str, is_chunked: bool) -> None:
    app = Flask("shop")
    mcp = MCPMount(app, max_body_bytes=400)
    router = ToolsRouter()
    app.before_request(lambda: request.get_data() and None)

    @router.tool
    def greet(name: str) -> str:
        return f"hello {name}"

    mcp.server.include_router(router)

    def send(name: str) -> int:
        message: dict[str, Any] = {"name": name}
        if path == "/mcp":
            client = {"name": name, "version": "1"}
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
            message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        body = json.dumps(message).encode()
        length: dict[str, Any] = {"CONTENT_LENGTH": str(len(body))}
        if is_chunked:
            # As servers have it that read chunks themselves.
            length = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        answer = app.test_client().open(
            path,
            method="POST",
            content_type="application/json",
            headers={"accept": "application/json, text/event-stream"},
            environ_overrides={"wsgi.input": BytesIO(body), **length},
        )
        return answer.status_code

    assert (send("ada"), send("a" * 500)) == (200, 413)


def test_a_header_parameter_is_refused_where_the_handler_is_written() -> None:
    from typing import Annotated

    from fastapi import Header

    def greet(x_name: Annotated[str, Header()] = "") -> str:
        return x_name

    with pytest.raises(DefinitionError, match=r"greet \(.*test_extension\.py:\d+\) needs"):
        MCPMount(Flask("shop")).tool(greet)


def test_the_key_of_the_application_may_be_bytes() -> None:
    """Sessions of the session revisions are sealed with it, and opened after it was rotated."""
    old, new = Flask("shop"), Flask("shop")
    old.config["SECRET_KEY"] = b"\xff\xfe old"
    new.config.update(SECRET_KEY=b"\xff\xfe new", SECRET_KEY_FALLBACKS=[b"\xff\xfe old"])
    for app in (old, new):
        MCPMount(app, "/mcp", open=True)
    opened = old.test_client().post("/mcp", headers=JSON_HEADERS, data=initialize())
    own = session_headers(opened.headers["mcp-session-id"])
    ping = json.dumps(message("ping"))
    assert new.test_client().post("/mcp", headers=own, data=ping).status_code == 200


@pytest.mark.parametrize("is_mounted", [True, False])
@pytest.mark.parametrize(
    "wrong", [{"tags": 5}, {"paths": "/x", "prefix": 5}, {"paths": "/x", "timeout": "x"}]
)
def test_an_expose_that_is_refused_does_not_come_again(
    wrong: dict[str, Any], is_mounted: bool
) -> None:
    def application() -> Flask:
        app = Flask("shop")
        app.add_url_rule("/x", "x", lambda: "x")
        return app

    first, second = application(), application()
    mcp = MCPMount(first) if is_mounted else MCPMount()
    with pytest.raises(DefinitionError):
        mcp.expose(**wrong)
    mcp.expose(paths="/x")
    mcp.init_app(second)
    assert [one.tools for one in mcp.exposed][-1] == ["x"]
    with Client(second) as client:
        assert client.call_tool("x").text == "x"


def test_an_expose_that_matches_nothing_does_not_come_again() -> None:
    mcp = MCPMount(Flask("shop"))
    with pytest.raises(DefinitionError, match="tags= matches no endpoint"):
        mcp.expose(tags="x")
    mcp.init_app(Flask("other"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("notify", ": the server has it, mcp.server.notify"), ("notifies", ""), ("__code__", "")],
)
def test_what_the_server_has_is_named(name: str, hint: str) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(MCPMount(), name)
    assert str(raised.value) == f"'MCPMount' object has no attribute {name!r}{hint}"
