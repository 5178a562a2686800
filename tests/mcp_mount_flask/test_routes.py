"""Which tools routes become: views with several rules, nested blueprints, hosts, factories."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask, current_app, jsonify, request
from flask.views import MethodView
from werkzeug.routing import IntegerConverter, PathConverter

from mcp_mount import DefinitionError, MCPServer, ToolsRouter
from mcp_mount.testing import Client
from mcp_mount_flask import MCPBlueprint, MCPMount, as_tool, expose


def tools_of(app: Any, **options: Any) -> dict[str, Any]:
    with Client(app, **options) as client:
        return {tool["name"]: tool for tool in client.list_tools()}


def call(app: Any, tool: str, **arguments: Any) -> Any:
    with Client(app) as client:
        return client.call_tool(tool, arguments)


def paged() -> Flask:
    app = Flask("shop", static_folder=None)

    @app.get("/orders/", defaults={"page": 1})
    @app.get("/orders/page/<int:page>")
    def orders(page: int) -> Any:
        return jsonify(page=page, path=request.path)

    @app.get("/users")
    @app.get("/users/<name>")
    def users(name: str = "all") -> str:
        return name

    @app.get("/two")
    @app.get("/deux")
    def two() -> str:
        return request.path

    return app


def test_a_view_with_defaults_is_one_tool() -> None:
    app = paged()
    mcp = MCPMount(app)
    assert expose(app, mcp, operations=["orders", "users", "two"]).tools == [
        "orders",
        "users",
        "two",
    ]
    schema = tools_of(app)["orders"]["inputSchema"]
    assert schema["properties"] == {"page": {"type": "integer"}}
    assert schema["required"] == []
    assert call(app, "orders").structured == {"page": 1, "path": "/orders/"}
    assert call(app, "orders", page=7).structured == {"page": 7, "path": "/orders/page/7"}
    # Flask redirects this one to its canonical URL.
    assert call(app, "orders", page=1).structured == {"page": 1, "path": "/orders/"}
    assert call(app, "users").text == "all"
    assert call(app, "users", name="ada").text == "ada"
    assert call(app, "two").text == "/deux"


def test_a_rule_that_is_left_out_is_not_reached() -> None:
    app = paged()
    mcp = MCPMount(app)
    expose(app, mcp, paths=["/users*", "/two", "/deux"], exclude=["/users", "/two"])
    assert tools_of(app)["users"]["inputSchema"]["required"] == ["name"]
    assert call(app, "users").is_error
    assert call(app, "two").text == "/deux"


def test_a_blueprint_has_the_routes_of_those_that_are_nested_in_it() -> None:
    app = Flask("shop", static_folder=None)
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    inner = Blueprint("inner", __name__, url_prefix="/inner")
    inner.add_url_rule("/view", "view", lambda: "inner")
    outer.add_url_rule("/view", "view", lambda: "outer")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)

    def exposed(**options: Any) -> list[str]:
        return expose(app, MCPServer("s"), **options).tools

    assert set(exposed(blueprints="outer")) == {"get_outer_inner_view", "get_outer_view"}
    assert exposed(blueprints="outer.inner") == ["view"]
    assert exposed(blueprints="outer", exclude_tags="outer.inner") == ["view"]


def test_functions_of_the_same_name_are_told_apart_by_method_and_path() -> None:
    app = Flask("shop", static_folder=None)
    for name in ("orders", "users"):
        blueprint = Blueprint(name, __name__, url_prefix=f"/{name}")
        blueprint.add_url_rule("/", "find", lambda: "")
        app.register_blueprint(blueprint)
    mcp = MCPMount(app)
    assert expose(app, mcp, paths=["*"]).tools == ["get_orders", "get_users"]


def test_an_expose_that_fails_leaves_nothing_behind() -> None:
    app = paged()
    mcp = MCPMount(app)
    mcp.tool(name="two")(lambda: "mine")
    with pytest.raises(DefinitionError, match="the tool 'two' is already defined"):
        expose(app, mcp, paths=["*"])
    assert list(mcp.server.registry.tools) == ["two"]
    assert expose(app, mcp, paths=["*"], names={"two": "second"}).tools == [
        "orders",
        "users",
        "second",
    ]


def subdomains(host_matching: bool) -> Flask:
    app = Flask(
        "shop",
        static_folder=None,
        **(
            {"host_matching": True, "static_host": None}
            if host_matching
            else {"subdomain_matching": True}
        ),
    )
    if not host_matching:
        app.config["SERVER_NAME"] = "shop.example"
    where = (
        ({"host": "shop.example"}, {"host": "api.shop.example"}, {"host": "<tenant>.shop.example"})
        if host_matching
        else ({}, {"subdomain": "api"}, {"subdomain": "<tenant>"})
    )

    def show(tenant: str = "") -> str:
        return f"{request.host} {tenant}"

    for name, options in zip(("own", "api", "tenant"), where, strict=True):
        app.add_url_rule(f"/{name}", name, show, **options)
    return app


@pytest.mark.parametrize("host_matching", [False, True])
def test_a_route_of_a_subdomain_is_called_there(host_matching: bool) -> None:
    app = subdomains(host_matching)
    server = MCPServer("shop")
    exposed = expose(app, server, paths=["*"])
    assert exposed.tools == ["own", "api"]
    assert list(exposed.left_out) == ["GET /tenant"]
    assert "its host varies" in exposed.left_out["GET /tenant"]
    with Client(server, path="/mcp", headers={"host": "localhost"}) as client:
        assert client.call_tool("api").text == "api.shop.example "


def test_a_get_that_writes_is_said_to_be_one() -> None:
    app = Flask("shop", static_folder=None)

    @app.get("/visit")
    @as_tool(annotations={"readOnlyHint": False, "destructiveHint": False})
    def visit() -> str:
        return ""

    app.add_url_rule("/count", "count", lambda: "")
    app.add_url_rule("/read", "read", lambda: "")
    mcp = MCPMount(app)
    expose(app, mcp, paths="*", annotations={"count": {"readOnlyHint": False}})
    hints = {name: tool["annotations"] for name, tool in tools_of(app).items()}
    assert hints == {
        "visit": {"readOnlyHint": False, "destructiveHint": False},
        "count": {"readOnlyHint": False},
        "read": {"readOnlyHint": True},
    }
    with pytest.raises(DefinitionError, match=r"annotations= names no endpoint: 'cuont'; did you"):
        expose(app, MCPServer("s"), paths="*", annotations={"cuont": {}})


class Factory:
    """A module with a mount, and the factory of its applications."""

    def __init__(self, *, by_extension: bool) -> None:
        self.mcp = MCPMount(path="/mcp")
        self.mcp.tool(name="own")(lambda: "own")
        self._by_extension = by_extension
        if by_extension:
            assert self.mcp.expose(operations=["name", "greet"], names={"greet": "hello"}) is None

    def create(self, name: str) -> Flask:
        app = Flask("shop", static_folder=None)
        app.config["NAME"] = name
        app.add_url_rule("/name", "name", lambda: str(current_app.config["NAME"]))
        app.add_url_rule("/greet/<who>", "greet", lambda who: f"{who} at {app.config['NAME']}")
        self.mcp.init_app(app)
        if not self._by_extension:
            expose(app, self.mcp, operations=["name", "greet"], names={"greet": "hello"})
        return app


@pytest.mark.parametrize("by_extension", [False, True])
def test_a_factory_that_runs_several_times_makes_each_tool_once(by_extension: bool) -> None:
    factory = Factory(by_extension=by_extension)
    apps = {name: factory.create(name) for name in ("one", "two", "three")}
    for name, app in apps.items():
        assert list(tools_of(app)) == ["own", "name", "hello"]
        assert call(app, "name").text == name
        assert call(app, "hello", who="ada").text == f"ada at {name}"


def test_a_mount_with_its_application_exposes_at_once() -> None:
    app = paged()
    mcp = MCPMount(app)
    exposed = mcp.expose(operations="two")
    assert exposed is not None
    assert (exposed.tools, mcp.exposed) == (["two"], [exposed])
    wrong: Any = {"operation": "two"}
    with pytest.raises(DefinitionError, match="no option 'operation'; did you mean 'operations'"):
        mcp.expose(**wrong)
    with pytest.raises(DefinitionError, match="the tool 'two' is already defined"):
        mcp.expose(operations="two")


def test_a_misspelt_word_of_the_extension_stops_the_factory() -> None:
    mcp = MCPMount()
    mcp.expose(operations="tow")
    with pytest.raises(DefinitionError, match="'tow'; did you mean 'two'"):
        mcp.init_app(paged())


def test_routers_and_blueprints_take_tools_of_routes() -> None:
    app = paged()
    mcp = MCPMount(app)
    router = ToolsRouter(http=False)
    assert expose(app, router, operations="two").tools == ["two"]
    mcp.server.include_router(router)
    blueprint = MCPBlueprint("b", __name__)
    assert expose(app, blueprint, operations="users", timeout=5).tools == ["users"]
    app.register_blueprint(blueprint)
    assert list(tools_of(app)) == ["two", "users"]
    assert call(app, "two").text == "/deux"


def test_each_method_of_a_class_of_views_has_its_own_description() -> None:
    app = Flask("shop", static_folder=None)

    class Basket(MethodView):
        def get(self) -> str:
            """What is in it."""
            return "in"

        def post(self) -> str:
            """Put something in."""
            return "put"

    app.add_url_rule("/basket", view_func=Basket.as_view("basket"))
    mcp = MCPMount(app)
    expose(app, mcp, operations="basket")
    assert {name: tool["description"] for name, tool in tools_of(app).items()} == {
        "get_basket": "What is in it.",
        "post_basket": "Put something in.",
    }


def test_a_document_of_swagger_2_is_refused_by_name() -> None:
    app = paged()
    with pytest.raises(DefinitionError, match=r"is of Swagger 2\.0, .* omit document="):
        expose(app, MCPServer("s"), document={"swagger": "2.0", "paths": {}}, paths="*")


def test_operations_of_a_document_without_names_have_those_of_their_functions() -> None:
    app = paged()
    document = {
        "openapi": "3.0.3",
        "paths": {
            "/users/{user}": {
                "parameters": [
                    {"name": "user", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "get": {"responses": {}},
            },
            "/nowhere": {"get": {"responses": {}}},
        },
    }
    mcp = MCPMount(app)
    exposed = expose(app, mcp, document=document, paths="*")
    assert exposed.tools == ["users"]
    assert list(exposed.left_out) == ["GET /nowhere"]
    assert call(app, "users", user="ada").text == "ada"
    assert expose(app, MCPServer("s"), document=document, operations="users").tools == ["users"]


def test_rules_of_a_view_with_other_parameters_are_other_tools() -> None:
    app = Flask("shop", static_folder=None)

    @app.get("/of/<user>")
    @app.get("/in/<group>")
    def orders(user: str = "", group: str = "") -> str:
        return f"{request.path} {user}{group}"

    @app.get("/new", defaults={"kind": "new"})
    @app.get("/old", defaults={"kind": "old"})
    def listed(kind: str) -> str:
        return kind

    mcp = MCPMount(app)
    exposed = expose(app, mcp, paths="*")
    assert set(exposed.tools) == {"get_of_user", "get_in_group", "get_new", "get_old"}
    assert call(app, "get_of_user", user="ada").text == "/of/ada ada"
    assert call(app, "get_in_group", group="b").text == "/in/b b"
    assert call(app, "get_in_group").is_error
    assert [call(app, name).text for name in ("get_new", "get_old")] == ["new", "old"]


def archive() -> Flask:
    app = Flask("shop", static_folder=None)

    @app.get("/archive/")
    @app.get("/archive/<int:year>")
    @app.get("/archive/<int:year>/<int:month>/<int:day>")
    def entries(**parts: int) -> Any:
        return parts

    expose(app, MCPMount(app), operations="entries")
    return app


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"month": 5}, ["month: needs day and year"]),
        ({"year": 2024, "month": 5}, ["month: needs day"]),
        ({"month": 5, "day": 1}, ["month: needs year", "day: needs year"]),
    ],
)
def test_an_argument_that_no_path_takes_without_another_is_refused(
    given: dict[str, int], problems: list[str]
) -> None:
    result = call(archive(), "entries", **given)
    assert result.is_error
    assert all(problem in result.text for problem in problems)


@pytest.mark.parametrize("given", [{}, {"year": 2024}, {"year": 2024, "month": 5, "day": 1}])
def test_the_path_with_all_arguments_that_are_given_is_called(given: dict[str, int]) -> None:
    assert call(archive(), "entries", **given).data == given


class Even(IntegerConverter):
    regex = r"\d*[02468]"


class Folder(PathConverter):
    pass


def test_converters_of_the_application_are_what_they_inherit_from() -> None:
    app = Flask("shop", static_folder=None)
    app.url_map.converters.update(even=Even, folder=Folder)
    app.add_url_rule("/<even:number>/<folder:name>", "file", lambda number, name: name)
    mcp = MCPMount(app)
    expose(app, mcp, operations="file")
    properties = tools_of(app)["file"]["inputSchema"]["properties"]
    assert properties == {"number": {"type": "integer"}, "name": {"type": "string"}}
    assert call(app, "file", number=2, name="a/b").text == "a/b"


@pytest.mark.parametrize(
    ("converter", "schema", "value"),
    [
        ("int(min=1, max=12)", {"type": "integer", "minimum": 1, "maximum": 12}, 7),
        ("float(max=2.5)", {"type": "number", "maximum": 2.5}, 1.5),
        ("int(signed=True, max=3)", {"type": "integer", "maximum": 3}, -2),
        ("string(length=2)", {"type": "string", "minLength": 2, "maxLength": 2}, "en"),
        ("string(minlength=2)", {"type": "string", "minLength": 2}, "eng"),
        ("string(maxlength=3)", {"type": "string", "maxLength": 3}, "eng"),
        (
            "int(fixed_digits=2, max=12)",
            {
                "type": "string",
                "pattern": "^([0-9]{2})$",
                "description": "A number with 2 digits, including leading zeros, maximum 12",
            },
            "07",
        ),
    ],
)
def test_what_a_converter_asks_for_is_in_the_schema(
    converter: str, schema: dict[str, Any], value: Any
) -> None:
    app = Flask("shop", static_folder=None)
    app.add_url_rule(f"/<{converter}:part>", "part", lambda part: str(part))
    expose(app, MCPMount(app), operations="part")
    assert tools_of(app)["part"]["inputSchema"]["properties"]["part"] == schema
    assert call(app, "part", part=value).text == str(value).lstrip("0")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1.0"), (2.5, "2.5"), (-3, "-3.0"), (1e22, "1e+22"), (1e-7, "1e-07"), (10**20, "1e+20")],
)
def test_each_number_fits_a_float_in_a_path(value: float, text: str) -> None:
    app = Flask("shop", static_folder=None)
    app.add_url_rule("/near/<float(signed=True):lat>", "near", lambda lat: str(lat))
    expose(app, MCPMount(app), operations="near")
    assert call(app, "near", lat=value).text == text


def test_extensions_among_the_paths_of_a_document_are_passed_over() -> None:
    app = paged()
    document = {
        "openapi": "3.1.0",
        "paths": {"x-internal": True, "x-more": {"get": {}}, "/two": {"x-own": 1, "get": {}}},
    }
    mcp = MCPMount(app)
    hints = {"two": {"readOnlyHint": False}}
    assert expose(app, mcp, document=document, paths="*", annotations=hints).tools == ["two"]
    assert tools_of(app)["two"]["annotations"] == {"readOnlyHint": False}
    with pytest.raises(DefinitionError, match="has no paths"):
        expose(app, MCPServer("s"), document={"openapi": "3.1.0"}, paths="*")
