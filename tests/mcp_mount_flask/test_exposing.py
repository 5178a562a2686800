"""Routes of a Flask application as tools: rules, models, documents, checks of the application."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import Enum
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, Response, abort, g, jsonify, redirect, request, session
from flask.views import MethodView
from flask_login import LoginManager, UserMixin, login_required
from marshmallow import Schema, fields, validate
from pydantic import BaseModel

from mcp_mount import DefinitionError, MCPServer, SyncContext, mount_wsgi
from mcp_mount.testing import Client, HTTPError
from mcp_mount_flask import MCPMount, as_tool, expose, mount_asgi
from mcp_mount_flask.marshmallows import schema_of_marshmallow


class Filter(BaseModel):
    words: list[str] = []
    limit: int = 10


class NewOrder(BaseModel):
    sku: str
    pieces: int = 1


class User(UserMixin):
    id = "ada"


def build() -> Flask:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    manager = LoginManager(app)
    manager.login_view = "login"
    manager.request_loader(lambda request: User() if request.headers.get("x-api-key") else None)
    orders = Blueprint("orders", __name__, url_prefix="/orders")

    @app.before_request
    def check() -> Any:
        g.seen = request.path
        return ("Closed", 503) if request.headers.get("x-api-key") == "closed" else None

    @app.errorhandler(404)
    def missing(error: Any) -> Any:
        return jsonify(error="There is no such thing"), 404

    @app.get("/login")
    def login() -> str:
        return "login"

    @orders.get("/")
    def find(query: Filter | None = None) -> Any:
        """Find orders."""
        words = request.args.getlist("words")
        return jsonify(words=words, limit=request.args.get("limit"), seen=g.seen)

    @orders.get("/<int:number>/<any(short, long):form>/<uuid:key>/<float:price>")
    def one(number: int, form: str, key: Any, price: float) -> Any:
        return jsonify(number=number, form=form, key=str(key), price=price)

    @orders.post("/")
    @as_tool("order", "Order something.", body=NewOrder)
    @login_required
    def create() -> Any:
        return jsonify(request.get_json()), 201

    @orders.get("/files/<path:name>")
    def file(name: str) -> str:
        return name

    @orders.get("/missing/<name>")
    def never(name: str) -> str:
        abort(404)

    class Basket(MethodView):
        """A basket."""

        def get(self) -> Any:
            """What is in the basket."""
            return jsonify(session.get("basket", []))

        def delete(self) -> Any:
            """Empty the basket."""
            return redirect("/orders/")

    app.add_url_rule("/basket", view_func=Basket.as_view("basket"))
    app.register_blueprint(orders)
    return app


@pytest.fixture
def app() -> Flask:
    return build()


@pytest.fixture
def mcp(app: Flask) -> MCPMount:
    return MCPMount(app)


def call(app: Any, tool: str, headers: Any = None, **arguments: Any) -> Any:
    with Client(app, headers=headers or {}) as client:
        return client.call_tool(tool, arguments)


def test_routes_are_chosen_by_blueprint_endpoint_path_and_marker(app: Flask) -> None:
    orders = expose(app, MCPServer("a"), blueprints=["orders"]).tools
    assert orders == ["find", "order", "one", "file", "never"]
    assert expose(app, MCPServer("b"), operations=["orders.find", "login"]).tools == [
        "login",
        "find",
    ]
    baskets = expose(app, MCPServer("c"), paths=["/basket"], prefix="my_").tools
    assert baskets == ["my_get_basket", "my_delete_basket"]
    assert expose(app, MCPServer("d")).tools == ["order"]
    named = expose(
        app, MCPServer("e"), paths=["/basket"], methods=["get"], names={"get_basket": "x"}
    )
    assert named.tools == ["x"]


def test_schemas_come_from_rules_and_models(app: Flask, mcp: MCPMount) -> None:
    expose(app, mcp.server, blueprints=["orders"])
    with Client(app) as client:
        tools = {tool["name"]: tool for tool in client.list_tools()}
    one = tools["one"]["inputSchema"]
    assert one["properties"] == {
        "number": {"type": "integer"},
        "form": {"type": "string", "enum": ["long", "short"]},
        "key": {"type": "string", "format": "uuid"},
        "price": {"type": "number"},
    }
    assert one["required"] == ["number", "form", "key", "price"]
    assert list(tools["find"]["inputSchema"]["properties"]) == ["words", "limit"]
    assert tools["find"]["description"] == "Find orders."
    assert tools["find"]["annotations"] == {"readOnlyHint": True}
    assert tools["order"]["inputSchema"]["required"] == ["sku"]
    assert tools["order"]["description"] == "Order something."


def test_calls_go_through_the_application(app: Flask, mcp: MCPMount) -> None:
    expose(app, mcp.server, blueprints=["orders"])
    expose(app, mcp.server, paths=["/basket"])
    found = call(app, "find", words=["ä", "b"], limit=3).data
    assert found == {"words": ["ä", "b"], "limit": "3", "seen": "/orders/"}
    key = "11111111-1111-4111-8111-111111111111"
    told = call(app, "one", number=1, form="long", key=key, price=1.5).data
    assert told == {"number": 1, "form": "long", "key": key, "price": 1.5}
    assert call(app, "file", name="a/b c.txt").text == "a/b c.txt"
    assert call(app, "get_basket").text == "[]"
    assert call(app, "delete_basket").text == "Done; see /orders/"


def test_the_checks_of_the_application_are_in_force(app: Flask, mcp: MCPMount) -> None:
    expose(app, mcp.server, blueprints=["orders"])
    refused = call(app, "order", sku="a")
    assert (refused.is_error, refused.text) == (True, "Authentication required")
    made = call(app, "order", {"x-api-key": "ada"}, sku="a", pieces=2).data
    assert made == {"sku": "a", "pieces": 2}
    missing = call(app, "never", name="x")
    assert (missing.is_error, missing.text) == (True, "There is no such thing")


@pytest.mark.parametrize(
    ("tool", "name", "words"),
    [
        ("never", "x/../y", "must be one segment of a path, without '/'"),
        ("never", "..", "must not have '.' or '..' as a segment of a path"),
        ("never", "", "must be one segment of a path, without '/'"),
        ("file", "../../login", "must not have '.' or '..' as a segment of a path"),
        ("file", "a\r\nb", "must not have control characters"),
    ],
)
def test_an_argument_does_not_lead_to_another_view(
    app: Flask, mcp: MCPMount, tool: str, name: str, words: str
) -> None:
    expose(app, mcp.server, blueprints="orders")
    refused = call(app, tool, name=name)
    assert (refused.is_error, refused.text) == (True, f"name: {words}")


@pytest.mark.parametrize("tool", ["one", "wide"])
def test_an_argument_does_not_reach_a_view_that_is_not_exposed(tool: str) -> None:
    app = Flask("shop", static_folder=None)
    app.add_url_rule("/orders/all", "all", lambda: "secret")
    app.add_url_rule("/files/all", "all_files", lambda: "secret")
    app.add_url_rule("/orders/sent", "sent", lambda: "secret", methods=["POST"])
    app.add_url_rule("/orders/<name>", "one", lambda name: name)
    app.add_url_rule("/files/<path:name>", "wide", lambda name: name)
    server = MCPServer("shop")
    expose(app, server, operations=["one", "wide"])
    MCPMount(app, "/mcp", server)
    refused = call(app, tool, name="all")
    assert refused.is_error
    assert "lead to another endpoint, GET /" in refused.text
    assert call(app, tool, name="sent").text == "sent"
    assert call(app, tool, name="any").text == "any"


HEADER_DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/traced": {
            "get": {
                "operationId": "traced",
                "parameters": [
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Content-Length", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"type": "string"}}
                            }
                        }
                    }
                },
            }
        }
    },
}


@pytest.fixture
def traced(app: Flask, mcp: MCPMount) -> Flask:
    @app.get("/traced")
    def traced() -> Any:
        trace = request.headers.get("x-trace")
        return jsonify([trace] if trace != "object" else {"a": 1})

    expose(app, mcp.server, operations="traced", document=HEADER_DOCUMENT, output_schemas=True)
    assert list(mcp.server.registry.tools["traced"].arguments.schema["properties"]) == ["X-Trace"]
    return app


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\r\nx-api-key: ada", "must not have line breaks or other control characters"),
        ("a\0", "must not have line breaks or other control characters"),
        ("Žluť", "is sent as a header, which cannot carry 'Ž'; only the letters of Latin-1 can be"),
    ],
)
def test_an_argument_that_no_header_can_carry_is_refused(
    traced: Flask, value: str, words: str
) -> None:
    refused = call(traced, "traced", **{"X-Trace": value})
    assert (refused.is_error, refused.text) == (True, f"X-Trace: {words}")


def test_an_answer_fits_the_schema_of_the_document_or_goes_as_text(
    traced: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(traced, revision="2025-11-25") as client:
        [tool] = client.list_tools()
        assert tool["outputSchema"]["properties"]["result"]["type"] == "array"
        assert client.call_tool("traced", {"X-Trace": "é"}).structured == {"result": ["é"]}
        other = client.call_tool("traced", {"X-Trace": "object"})
        assert (other.is_error, other.data, other.text) == (False, None, '{"a":1}')
        assert "outputSchema" not in client.list_tools()[0]
    assert "answers what its schema does not promise" in caplog.text


@pytest.mark.parametrize("limit", [1_000_000, None])
def test_an_endless_answer_is_stopped_at_the_limit(app: Flask, limit: int | None) -> None:
    sent: list[str] = []

    @app.get("/endless")
    def endless() -> Any:
        def chunks() -> Iterator[bytes]:
            try:
                while True:
                    sent.append("chunk")
                    yield b"x" * 50_000
            finally:
                sent.append("closed")

        return Response(chunks(), mimetype="text/plain")

    server = MCPServer("s", **({} if limit is None else {"max_result_bytes": limit}))
    MCPMount(app, server=server)
    expose(app, server, operations=["endless"])
    result = call(app, "endless")
    expected = limit or 4_194_304
    words = f"The answer has more than the {expected} bytes that may be sent. Ask for less."
    assert (result.is_error, result.text) == (True, words)
    assert len(sent) <= expected // 50_000 + 3
    assert sent[-1] == "closed"


MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "blueprints": (
        {"blueprints": ["order"]},
        "blueprints= names no blueprint with routes: 'order'; did you mean 'orders'?",
    ),
    "tags": ({"tags": ["order"]}, "tags= matches no endpoint: 'order'; did you mean 'orders'?"),
    "operations": (
        {"operations": ["orders.fnd"]},
        "operations= matches no endpoint: 'orders.fnd'; did you mean 'orders.find'?",
    ),
    "paths": ({"paths": ["/baskets"]}, "paths= matches no endpoint: '/baskets'; did you mean '/b"),
    "exclude": (
        {"paths": ["*"], "exclude": ["account"]},
        "exclude= matches no endpoint: 'account'; there are: ",
    ),
    "names": (
        {"paths": ["/basket"], "names": {"put_basket": "x"}},
        "names= matches no endpoint that is chosen: 'put_basket'; did you mean 'get_basket'?",
    ),
    "methods": (
        {"paths": ["/basket"], "methods": ["DELET"]},
        "methods= names no method that a tool can have: 'delet'; did you mean 'delete'?",
    ),
    "models": (
        {"paths": ["/basket"], "models": {"orders.creat": {"body": NewOrder}}},
        "models= names no endpoint: 'orders.creat'; did you mean 'orders.create'?",
    ),
    "a model": (
        {"paths": ["/basket"], "models": {"orders.create": {"json": NewOrder}}},
        "models['orders.create'] has no member 'json'; there are: body, form, query",
    ),
    "login": (
        {"paths": ["/basket"], "login": "logn"},
        "login= names no endpoint: 'logn'; did you mean 'login'?",
    ),
    "forward": (
        {"paths": ["/basket"], "forward": "x-api-key,cookie"},
        "forward= takes names of headers, and 'x-api-key,cookie' is none",
    ),
    "an option": ({"exclud": ["x"]}, "expose has no option 'exclud'; did you mean 'exclude'?"),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_a_word_that_matches_nothing_is_refused(app: Flask, mcp: MCPMount, case: str) -> None:
    options, words = MISSPELT[case]
    with pytest.raises(TypeError) as caught:
        expose(app, mcp.server, **options)
    assert words in str(caught.value)
    assert not mcp.server.registry.tools


def test_a_view_with_several_methods_is_left_out_as_a_whole(app: Flask) -> None:
    def exposed(**options: Any) -> list[str]:
        return expose(app, MCPServer("s"), **options).tools

    every = exposed(paths=["*"])
    assert {"get_basket", "delete_basket"} <= set(every)
    without = exposed(paths=["*"], exclude=["basket"])
    assert set(every) - set(without) == {"get_basket", "delete_basket"}
    assert "delete_basket" not in exposed(paths=["*"], exclude="delete_basket")
    assert exposed(operations="basket") == ["get_basket", "delete_basket"]
    for methods in (["GET"], "get"):
        assert exposed(operations="basket", methods=methods) == ["get_basket"]


def test_all_routes_become_tools_or_none(app: Flask, mcp: MCPMount) -> None:
    mcp.tool(name="never")(lambda: "mine")
    with pytest.raises(DefinitionError, match="the tool 'never' is already defined"):
        expose(app, mcp.server, blueprints="orders")
    assert list(mcp.server.registry.tools) == ["never"]


def test_the_guards_of_what_is_exposed_hold_for_its_tools(app: Flask, mcp: MCPMount) -> None:
    closed = Blueprint("closed", __name__, url_prefix="/closed")

    @closed.before_request
    def guard() -> Any:
        return None if request.headers.get("x-api-key") == "ada" else ("Not for you", 403)

    @closed.get("/view")
    def guarded() -> str:
        return "in"

    @app.get("/decorated")
    @login_required
    def decorated() -> str:
        return "in"

    app.register_blueprint(closed)
    expose(app, mcp.server, operations=["guarded", "decorated"])
    refused = call(app, "guarded")
    assert (refused.is_error, refused.text) == (True, "Not for you")
    assert call(app, "guarded", {"x-api-key": "ada"}).text == "in"
    assert call(app, "decorated").text == "Authentication required"
    assert call(app, "decorated", {"x-api-key": "ada"}).text == "in"
    # An application-wide before_request function stands before MCP as well.
    with pytest.raises(HTTPError, match="503"):
        call(app, "guarded", {"x-api-key": "closed"})


def test_models_may_be_given_for_code_of_others(app: Flask, mcp: MCPMount) -> None:
    @app.post("/form")
    def form() -> Any:
        return jsonify(request.form.to_dict(flat=False))

    models = {"form": {"form": NewOrder}}
    expose(app, mcp.server, operations=["form"], models=models)
    assert call(app, "form", sku="a&b", pieces=2).data == {"sku": ["a&b"], "pieces": ["2"]}


def test_models_within_models_are_known(app: Flask, mcp: MCPMount) -> None:
    class Line(BaseModel):
        sku: str

    class Cart(BaseModel):
        lines: list[Line]

    @app.post("/cart")
    @as_tool(body=Cart)
    def cart() -> Any:
        return jsonify(request.get_json())

    expose(app, mcp.server, operations=["cart"])
    schema = mcp.server.registry.tools["cart"].arguments.schema
    assert schema["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}
    assert schema["$defs"]["Line"]["required"] == ["sku"]


def test_marshmallow_schemas_are_understood(app: Flask, mcp: MCPMount) -> None:
    class Line(Schema):
        sku = fields.String(required=True, metadata={"description": "The number"})
        pieces = fields.Integer(allow_none=True)

    class Cart(Schema):
        lines = fields.List(fields.Nested(Line), required=True)
        note = fields.Str(data_key="theNote")
        secret = fields.Str(dump_only=True)

    @app.post("/cart")
    @as_tool(body=Cart)
    def cart() -> Any:
        return jsonify(Cart().load(request.get_json()))

    expose(app, mcp.server, operations=["cart"])
    schema = mcp.server.registry.tools["cart"].arguments.schema
    assert list(schema["properties"]) == ["lines", "theNote"]
    assert schema["properties"]["lines"]["items"] == {
        "type": "object",
        "properties": {
            "sku": {"type": "string", "description": "The number"},
            "pieces": {"type": ["integer", "null"]},
        },
        "required": ["sku"],
    }
    assert call(app, "cart", lines=[{"sku": "a"}], theNote="x").data == {
        "lines": [{"sku": "a"}],
        "note": "x",
    }


def test_fields_of_marshmallow_say_what_they_take() -> None:
    class Size(Enum):
        SMALL = 1
        LARGE = 2

    class Line(Schema):
        sku = fields.String(data_key="SKU")

    class Cart(Schema):
        line = fields.Pluck(Line, "sku")
        lines = fields.Pluck(Line, "sku", many=True, allow_none=True)
        price = fields.Decimal(allow_none=True)
        size = fields.Enum(Size, allow_none=True)
        number = fields.Enum(Size, by_value=fields.Integer)
        kind = fields.String(allow_none=True, validate=validate.OneOf(["new", "old"]))

    assert schema_of_marshmallow(Cart)["properties"] == {
        "line": {"type": "string"},
        "lines": {"type": ["array", "null"], "items": {"type": "string"}},
        "price": {"type": ["number", "string", "null"]},
        "size": {"type": ["string", "null"], "enum": ["SMALL", "LARGE", None]},
        "number": {"type": "integer", "enum": [1, 2]},
        "kind": {"type": ["string", "null"], "enum": ["new", "old", None]},
    }
    given = {"line": "a", "lines": None, "price": None, "size": None, "number": 2, "kind": None}
    assert Cart().load(given)["line"] == {"sku": "a"}


def test_an_openapi_document_gives_the_schemas(app: Flask, mcp: MCPMount) -> None:
    document = {
        "paths": {
            "/orders/{number}": {
                "get": {
                    "operationId": "getOrder",
                    "tags": ["public"],
                    "parameters": [
                        {"name": "number", "in": "path", "required": True, "schema": {}},
                        {"name": "deep", "in": "query", "schema": {"type": "boolean"}},
                    ],
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/O"}}
                            }
                        }
                    },
                }
            }
        },
        "components": {"schemas": {"O": {"type": "object", "properties": {"deep": {}}}}},
    }

    @app.get("/orders/<number>")
    def order(number: str) -> Any:
        return jsonify(number=number, deep=request.args.get("deep"))

    assert expose(
        app, mcp.server, document=document, tags=["public"], output_schemas=True
    ).tools == ["getOrder"]
    with Client(app) as client:
        [tool] = client.list_tools()
        assert tool["outputSchema"]["properties"] == {"deep": {}}
        told = client.call_tool("getOrder", {"number": "7", "deep": True}).data
    assert told == {"number": "7", "deep": "true"}


class Hosts:
    """Every way to stand beside the application; its routes are tools all the same."""

    every: ClassVar[dict[str, Any]] = {
        "asgi": lambda app, server: mount_asgi(app, "/mcp", server),
        "wsgi": lambda app, server: mount_wsgi(app, "/mcp", server),
    }


@pytest.mark.parametrize("host", Hosts.every)
def test_routes_are_tools_of_a_server_beside(app: Flask, host: str) -> None:
    server = MCPServer("beside")
    expose(app, server, blueprints=["orders"])
    whole = Hosts.every[host](app, server)
    assert call(whole, "order", {"x-api-key": "k"}, sku="a").data == {"sku": "a"}
    assert call(whole, "order", sku="a").text == "Authentication required"


def test_what_cannot_be_exposed_is_refused(app: Flask, mcp: MCPMount) -> None:
    with pytest.raises(DefinitionError, match="no endpoint"):
        expose(app, mcp.server, blueprints=["orders"], methods=["put"])
    with pytest.raises(DefinitionError, match="is not a model"):
        expose(app, mcp.server, operations=["login"], models={"login": {"query": 7}})


def test_too_many_tools_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("many", static_folder=None)
    for number in range(61):
        app.add_url_rule(f"/{number}", f"endpoint_{number}", lambda: "")
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        expose(app, MCPServer("large"), paths=["*"])
    assert "has 61 tools" in caplog.text


def test_a_view_that_a_tool_calls_leaves_the_callers_context_alone() -> None:
    app = Flask("shop", static_folder=None)
    mcp = MCPMount(app, "/mcp")

    @app.teardown_request
    def close(error: Any) -> None:
        g.pop("connection", None)

    @app.get("/view")
    def view() -> Any:
        return jsonify(connection=g.get("connection"))

    @mcp.tool
    def both(ctx: SyncContext) -> str:
        g.connection = "the caller's"
        return f"{ctx.call_tool('view')} {g.connection}"

    expose(app, mcp.server, operations=["view"])
    with Client(app) as client:
        assert client.call_tool("both").text == "{'connection': None} the caller's"


def test_tags_where_no_route_has_one_name_what_flask_has() -> None:
    app = Flask("plain", static_folder=None)
    app.get("/orders", endpoint="orders")(lambda: "")
    mcp = MCPMount(app)
    with pytest.raises(DefinitionError, match=r"tags= matches no endpoint: .* with blueprints="):
        mcp.expose(tags="orders")


def test_as_tool_needs_no_parentheses() -> None:
    app = Flask("bare")

    @app.get("/bare/<int:number>")
    @as_tool
    def bare(number: int) -> Any:
        """Bare."""
        return jsonify(number=number)

    server = MCPServer("bare", open=True, secret_key="for-tests-only")
    assert app.view_functions["bare"] is bare
    assert expose(app, server).tools == ["bare"]
    assert app.test_client().get("/bare/3").get_json() == {"number": 3}
