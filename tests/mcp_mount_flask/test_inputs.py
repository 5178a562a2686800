"""The inputs of views of other extensions: APIFlask, flask-smorest, Flask-RESTX, flask-openapi3.

Each has tests with the extension itself, where it is installed, and a stand-in for what it notes at
its views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, jsonify, request
from flask.views import MethodView
from marshmallow import Schema, fields, validate
from pydantic import BaseModel

from mcp_mount import DefinitionError, MCPServer
from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount, as_tool, expose


class Page(Schema):
    page = fields.Integer(load_default=1)
    kind = fields.String(validate=validate.OneOf(["new", "old"]))


class Order(Schema):
    sku = fields.String(required=True)
    pieces = fields.Integer()


EXPECTED = {
    "number": {"type": "integer"},
    "page": {"type": "integer", "default": 1},
    "kind": {"type": "string", "enum": ["new", "old"]},
    "sku": {"type": "string"},
    "pieces": {"type": "integer"},
}


def schema_of(app: Any, tool: str) -> dict[str, Any]:
    with Client(app) as client:
        found = {one["name"]: one["inputSchema"] for one in client.list_tools()}
    schema: dict[str, Any] = found[tool]
    return schema


def call(app: Any, tool: str, **arguments: Any) -> Any:
    with Client(app) as client:
        return client.call_tool(tool, arguments)


def told(query: Any, body: Any, number: int) -> Any:
    return jsonify(query=query, body=body, number=number)


ASKED = {"number": 7, "page": 2, "sku": "TEA", "pieces": 3}
ANSWER = {"query": {"page": 2}, "body": {"sku": "TEA", "pieces": 3}, "number": 7}


def test_inputs_of_apiflask_are_known() -> None:
    import apiflask

    app = apiflask.APIFlask("shop")

    @app.post("/orders/<int:number>")
    @app.input(Page, location="query")
    @app.input(Order)
    @app.output(Order, status_code=201)
    def create(number: int, query_data: Any, json_data: Any) -> Any:
        """Order something."""
        return told(query_data, json_data, number)

    class Basket(MethodView):
        @app.input(Order)
        def post(self, json_data: Any) -> Any:
            return told({}, json_data, 0)

    app.add_url_rule("/basket", view_func=Basket.as_view("basket"))
    mcp = MCPMount(app)
    assert set(expose(app, mcp, paths="*").tools) == {"create", "basket"}
    schema = schema_of(app, "create")
    assert (schema["properties"], schema["required"]) == (EXPECTED, ["number", "sku"])
    assert call(app, "create", **ASKED).structured == ANSWER
    assert schema_of(app, "basket")["required"] == ["sku"]
    # Its document has no operation ids.
    with app.app_context():
        exposed = expose(app, MCPServer("s"), document=app.spec, paths="*")
    assert set(exposed.tools) == {"create", "basket"}


def test_inputs_of_flask_smorest_are_known() -> None:
    import flask_smorest as smorest

    app = Flask("shop", static_folder=None)
    app.config.update(API_TITLE="shop", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    api = smorest.Api(app)
    orders = smorest.Blueprint("orders", __name__, url_prefix="/orders")

    @orders.route("/<int:number>")
    class One(MethodView):
        @orders.arguments(Page, location="query")
        @orders.arguments(Order)
        @orders.response(200)
        def post(self, query: Any, order: Any, number: int) -> Any:
            """Order something."""
            return {"query": query, "body": order, "number": number}

    api.register_blueprint(orders)
    mcp = MCPMount(app)
    assert expose(app, mcp, blueprints="orders").tools == ["One"]
    schema = schema_of(app, "One")
    assert (schema["properties"], schema["required"]) == (EXPECTED, ["number", "sku"])
    assert call(app, "One", **ASKED).structured == ANSWER
    # The parameters of its paths stand at the path.
    document = MCPServer("s")
    exposed = expose(app, document, document=api.spec.to_dict(), tags="orders")
    assert exposed.tools == ["One"]
    assert "number" in document.registry.tools["One"].arguments.schema["properties"]


def test_inputs_of_flask_restx_are_known() -> None:
    import flask_restx as restx

    app = Flask("shop", static_folder=None)
    api = restx.Api(app)
    line = api.model("Line", {"sku": restx.fields.String(required=True)})
    order = api.model("Order", {"lines": restx.fields.List(restx.fields.Nested(line))})
    parser = restx.reqparse.RequestParser()
    parser.add_argument("page", type=int, required=True, location="args", help="Which")

    @api.route("/orders/<int:number>")
    class Orders(restx.Resource):
        @api.expect(parser)
        def get(self, number: int) -> Any:
            """Find orders."""
            return {"page": parser.parse_args()["page"], "number": number}

        @api.expect(order)
        def post(self, number: int) -> Any:
            return {"body": api.payload, "number": number}

    mcp = MCPMount(app)
    assert set(expose(app, mcp, paths="*").tools) == {"get_orders", "post_orders"}
    get = schema_of(app, "get_orders")
    assert get["properties"]["page"] == {"type": "integer", "description": "Which"}
    assert get["required"] == ["number", "page"]
    post = schema_of(app, "post_orders")
    assert post["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}
    assert post["$defs"]["Line"]["required"] == ["sku"]
    assert call(app, "get_orders", number=7, page=2).structured == {"page": 2, "number": 7}
    sent = {"lines": [{"sku": "TEA"}]}
    assert call(app, "post_orders", number=7, **sent).structured == {"body": sent, "number": 7}


class PageModel(BaseModel):
    page: int = 1


class OrderModel(BaseModel):
    sku: str


class NumberModel(BaseModel):
    number: int


def test_inputs_of_flask_openapi3_are_known() -> None:
    import flask_openapi3 as openapi3

    app = openapi3.OpenAPI("shop")

    @app.post("/orders/<int:number>", summary="Order something")
    def create(path: NumberModel, query: PageModel, body: OrderModel) -> Any:
        return told(query.model_dump(), body.model_dump(), path.number)

    mcp = MCPMount(app)
    assert expose(app, mcp, paths="*").tools == ["create"]
    schema = schema_of(app, "create")
    assert set(schema["properties"]) == {"number", "page", "sku"}
    answer = {"query": {"page": 2}, "body": {"sku": "TEA"}, "number": 7}
    assert call(app, "create", number=7, page=2, sku="TEA").structured == answer
    exposed = expose(app, MCPServer("s"), document=app.api_doc, paths="/orders/*")
    assert exposed.tools == ["create"]


class _Model(dict[str, Any]):
    """As a model of Flask-RESTX: its fields, and what its JSON Schema is."""

    def __init__(self, name: str, schema: dict[str, Any], **members: Any) -> None:
        super().__init__(members)
        self.name, self.resolved, self.__schema__ = name, members, schema


class _Nested:
    def __init__(self, model: _Model) -> None:
        self.nested = model


class _Parser:
    args: tuple[Any, ...] = ()
    __schema__ = (
        {"name": "page", "in": "query", "type": "integer", "required": True},
        {"name": "file", "in": "formData", "type": "file"},
    )


LINE = _Model("Line", {"type": "object", "required": ["sku"]})
CART = _Model(
    "Cart",
    {"type": "object", "properties": {"line": {"$ref": "#/definitions/Line"}}},
    line=_Nested(LINE),
)

NOTED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "APIFlask": (
        "_spec",
        {"args": [(Page(), "query"), (Page(), "cookies")], "body": Order()},
        {key: EXPECTED[key] for key in ("page", "kind", "sku", "pieces")},
    ),
    "APIFlask, a form": (
        "_spec",
        {"body": Order, "content_type": "application/x-www-form-urlencoded"},
        {key: EXPECTED[key] for key in ("sku", "pieces")},
    ),
    "flask-smorest": (
        "_apidoc",
        {"arguments": {"parameters": [{"in": "json", "schema": Order}, {"in": "path"}]}},
        {key: EXPECTED[key] for key in ("sku", "pieces")},
    ),
    "Flask-RESTX, a parser": (
        "__apidoc__",
        {"expect": [_Parser(), [CART]]},
        {"page": {"type": "integer"}},
    ),
    "Flask-RESTX, a model": (
        "__apidoc__",
        {"expect": [CART]},
        {"line": {"$ref": "#/$defs/Line"}},
    ),
    "something else": ("_spec", {}, {}),
}


@pytest.mark.parametrize("case", NOTED)
def test_what_other_extensions_note_at_a_view_is_read(case: str) -> None:
    attribute, noted, expected = NOTED[case]

    def create() -> Any:
        return jsonify(request.values)

    setattr(create, attribute, noted)
    app = Flask("shop", static_folder=None)
    app.add_url_rule("/orders", "create", create, methods=["POST"])
    mcp = MCPMount(app)
    expose(app, mcp, operations="create")
    assert schema_of(app, "create")["properties"] == expected


class Node(Schema):
    name = fields.String(required=True)
    parent = fields.Nested(lambda: Node(exclude=("children",)), allow_none=True)
    children = fields.List(fields.Nested(lambda: Node()))


def test_a_schema_that_is_nested_in_itself_refers_to_itself() -> None:
    app = Flask("shop", static_folder=None)

    @app.post("/nodes")
    @as_tool(body=Node)
    def create() -> Any:
        return jsonify(request.get_json())

    expose(app, MCPMount(app))
    schema = schema_of(app, "create")
    assert schema["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Node"}}
    assert schema["$defs"]["Node"]["required"] == ["name"]
    assert schema["required"] == ["name"]
    sent = {"name": "a", "children": [{"name": "b", "parent": None}]}
    assert call(app, "create", **sent).structured == sent


def test_models_of_one_name_that_differ_are_named_apart() -> None:
    def model(**properties: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"order": {"$ref": "#/$defs/Order"}},
            "$defs": {
                "Order": {"type": "object", "properties": {"item": {"$ref": "#/$defs/Item"}}},
                "Item": {"type": "object", "properties": properties},
            },
        }

    app = Flask("shop", static_folder=None)
    models = {"one": model(a={}), "two": model(b={}), "again": model(a={})}
    for name in models:
        app.add_url_rule(f"/{name}", name, lambda: "", methods=["POST"])
    expose(app, MCPMount(app), paths="*", models={name: {"body": models[name]} for name in models})
    found = {name: list(schema_of(app, name)["$defs"]) for name in models}
    assert found == {
        "one": ["Order", "Item"],
        "two": ["Order_2", "Item_2"],
        "again": ["Order", "Item"],
    }
    item = schema_of(app, "two")["$defs"]["Item_2"]
    assert item == {"type": "object", "properties": {"b": {}}}


def test_a_model_without_a_schema_matters_where_its_route_is_chosen() -> None:
    class Broken(BaseModel):
        call: Callable[[], int]

    app = Flask("shop", static_folder=None)
    app.add_url_rule("/good", "good", lambda: "")

    @app.post("/bad")
    @as_tool(body=Broken)
    def bad() -> str:
        return ""

    assert expose(app, MCPServer("s"), operations="good").tools == ["good"]
    assert list(expose(app, MCPServer("s"), paths="*").left_out) == ["POST /bad"]
    with pytest.raises(DefinitionError, match=r"POST /bad cannot be a tool: the model .*Broken"):
        expose(app, MCPServer("s"), operations="bad")
    with pytest.raises(DefinitionError, match="7 is not a model"):
        as_tool(body=7)
