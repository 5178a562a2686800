"""Routes of a Flask application as tools: rules, models, documents, checks of the application."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, abort, g, jsonify, redirect, request, session
from flask.views import MethodView
from flask_login import LoginManager, UserMixin, login_required
from pydantic import BaseModel

from mcp_mount import DefinitionError, MCPServer, SyncContext, mount_wsgi
from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount, as_tool, expose, mount_asgi


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
    orders = expose(app, MCPServer("a"), blueprints=["orders"])
    assert orders == ["find", "order", "one", "file", "never"]
    assert expose(app, MCPServer("b"), operations=["orders.find", "login"]) == ["login", "find"]
    baskets = expose(app, MCPServer("c"), paths=["/basket"], prefix="my_")
    assert baskets == ["my_get_basket", "my_delete_basket"]
    assert expose(app, MCPServer("d")) == ["order"]
    named = expose(
        app, MCPServer("e"), paths=["/basket"], methods=["get"], names={"get_basket": "x"}
    )
    assert named == ["x"]


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
    found = call(app, "find", words=["ä", "b"], limit=3).structured
    assert found == {"words": ["ä", "b"], "limit": "3", "seen": "/orders/"}
    key = "11111111-1111-4111-8111-111111111111"
    told = call(app, "one", number=1, form="long", key=key, price=1.5).structured
    assert told == {"number": 1, "form": "long", "key": key, "price": 1.5}
    assert call(app, "file", name="a/b c.txt").text == "a/b c.txt"
    assert call(app, "get_basket").text == "[]"
    assert call(app, "delete_basket").text == "Done; see /orders/"


def test_the_checks_of_the_application_are_in_force(app: Flask, mcp: MCPMount) -> None:
    expose(app, mcp.server, blueprints=["orders"])
    refused = call(app, "order", sku="a")
    assert (refused.is_error, refused.text) == (True, "You must log in for this")
    made = call(app, "order", {"x-api-key": "ada"}, sku="a", pieces=2).structured
    assert made == {"sku": "a", "pieces": 2}
    missing = call(app, "never", name="x")
    assert (missing.is_error, missing.text) == (True, "There is no such thing")
    escaped = call(app, "never", name="x/../y")
    assert escaped.text == "name: must be one segment of a path, without '/'"


def test_models_may_be_given_for_code_of_others(app: Flask, mcp: MCPMount) -> None:
    @app.post("/form")
    def form() -> Any:
        return jsonify(request.form.to_dict(flat=False))

    models = {"form": {"form": NewOrder}}
    expose(app, mcp.server, operations=["form"], models=models)
    assert call(app, "form", sku="a&b", pieces=2).structured == {"sku": ["a&b"], "pieces": ["2"]}


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
    from marshmallow import Schema, fields

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
    assert call(app, "cart", lines=[{"sku": "a"}], theNote="x").structured == {
        "lines": [{"sku": "a"}],
        "note": "x",
    }


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

    assert expose(app, mcp.server, document=document, tags=["public"]) == ["getOrder"]
    with Client(app) as client:
        [tool] = client.list_tools()
        assert tool["outputSchema"]["properties"] == {"deep": {}}
        told = client.call_tool("getOrder", {"number": "7", "deep": True}).structured
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
    assert call(whole, "order", {"x-api-key": "k"}, sku="a").structured == {"sku": "a"}
    assert call(whole, "order", sku="a").text == "You must log in for this"


def test_what_cannot_be_exposed_is_refused(app: Flask, mcp: MCPMount) -> None:
    with pytest.raises(DefinitionError, match="no endpoint"):
        expose(app, mcp.server, blueprints=["orders"], methods=["put"])
    with pytest.raises(DefinitionError, match="is no model"):
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
