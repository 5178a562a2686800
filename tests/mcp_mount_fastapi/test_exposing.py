"""Endpoints of a FastAPI application as tools: schemas, credentials, answers of all kinds."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from mcp_mount import DefinitionError, MCPServer
from mcp_mount.testing import Client
from mcp_mount_fastapi import as_tool, expose, mount
from tests.mcp_mount_fastapi import shop

ADA = {"authorization": "Bearer token-of-ada"}
FILES = ["upload"]


@pytest.fixture
def server() -> MCPServer:
    return MCPServer("shop", secret_key="k")


@pytest.fixture
def api(server: MCPServer) -> FastAPI:
    api = shop.build()
    mount(api, "/mcp", server)
    return api


def call(api: FastAPI, tool: str, headers: Any = None, **arguments: Any) -> Any:
    with Client(api, headers=headers or {}) as client:
        return client.call_tool(tool, arguments)


def test_endpoints_are_chosen_by_tag(api: FastAPI, server: MCPServer) -> None:
    assert expose(api, server, tags=["items"], exclude=FILES).tools == [
        "list_items",
        "create_item",
        "getItem",
        "delete_item",
        "rename",
    ]


def test_endpoints_are_chosen_by_operation_path_method_and_marker(api: FastAPI) -> None:
    one = MCPServer("one")
    assert expose(api, one, operations=["getItem", "add_up"]).tools == ["getItem", "add_up"]
    two = MCPServer("two")
    chosen = expose(api, two, paths=["/items*"], methods=["get"], prefix="shop_").tools
    assert chosen == ["shop_list_items", "shop_getItem"]
    three = MCPServer("three")
    assert expose(api, three).tools == ["best_items"]
    assert three.registry.tools["best_items"].members["description"] == "The best there is."


def test_endpoints_are_renamed_and_described(api: FastAPI, server: MCPServer) -> None:
    names = {"getItem": "get_item", "list_items": "find_items"}
    texts = {"getItem": "One item by its number."}
    expose(
        api, server, tags=["items"], exclude=FILES, methods=["get"], names=names, descriptions=texts
    )
    tools = server.registry.tools
    assert list(tools) == ["find_items", "get_item"]
    assert tools["get_item"].members["description"] == "One item by its number."
    assert tools["find_items"].members["description"] == "List the caller's items."
    assert tools["get_item"].members["annotations"] == {"readOnlyHint": True}


def test_the_schemas_are_those_of_the_routes(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, tags=["items"], exclude=FILES)
    with Client(api) as client:
        tools = {tool["name"]: tool for tool in client.list_tools()}
    create = tools["create_item"]["inputSchema"]
    assert list(create["properties"]) == ["name", "price", "size", "part"]
    assert create["required"] == ["name", "price"]
    assert create["properties"]["name"]["description"] == "What it is called"
    assert create["properties"]["size"]["$ref"] == "#/$defs/Size"
    assert create["$defs"]["Size"]["enum"] == ["small", "large"]
    assert create["$defs"]["Part-Input"]["properties"]["parts"]["items"] == {
        "$ref": "#/$defs/Part-Input"
    }
    assert tools["create_item"]["outputSchema"]["required"] == ["name", "price", "id", "owner"]
    listed = tools["list_items"]["inputSchema"]["properties"]
    assert list(listed) == ["size", "words", "limit"]
    assert listed["limit"]["maximum"] == 100
    assert tools["rename"]["inputSchema"]["required"] == ["item_id", "name"]


def test_calls_go_through_the_application(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, tags=["items"], exclude=FILES)
    made = call(api, "create_item", ADA, name="pot", price=3, part={"name": "lid"}).data
    assert made == {
        "name": "pot",
        "price": 3.0,
        "size": "small",
        "part": {"name": "lid", "parts": []},
        "id": 1,
        "owner": "ada",
    }
    assert call(api, "getItem", ADA, item_id=1).data == made
    assert call(api, "rename", ADA, item_id=1, name="ä?b#c%2F").data["name"] == "ä?b#c%2F"
    listed = call(api, "list_items", ADA, words=["ä?b#c%2F", "x"], size="small", limit=5)
    assert len(listed.data or listed.content) == 1
    assert call(api, "delete_item", ADA, item_id=1).text == "Done"
    assert "/items/1" in shop.Count.seen


def test_the_callers_credentials_go_along(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, tags=["items"], exclude=FILES)
    assert call(api, "create_item", ADA, name="pot", price=3).data["owner"] == "ada"
    with_cookie = {"cookie": "session=token-of-bob"}
    assert call(api, "create_item", with_cookie, name="cup", price=1).data["owner"] == "bob"
    foreign = call(api, "getItem", with_cookie, item_id=1)
    assert (foreign.is_error, foreign.text) == (True, "There is no such item")
    nobody = call(api, "list_items")
    assert (nobody.is_error, nobody.text) == (True, "Not authenticated")


def test_only_named_headers_go_along(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, tags=["odd"], exclude=["broken"], forward=["accept-language"])
    headers = {"accept-language": "de", "x-trace": "secret"}
    assert call(api, "echo", headers, path="a").data == {
        "path": "a",
        "trace": "",
        "language": "de",
    }
    told = call(api, "echo", headers, path="a/b", **{"x-trace": "mine"}).data
    assert told == {"path": "a/b", "trace": "mine", "language": "de"}


def test_a_header_that_goes_along_is_no_argument(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, operations=["echo"], forward=["X-Trace"])
    assert list(server.registry.tools["echo"].arguments.schema["properties"]) == ["path"]
    told = call(api, "echo", {"x-trace": "mine"}, path="{x}").data
    assert told == {"path": "{x}", "trace": "mine", "language": ""}


def test_what_does_not_fit_is_told_field_by_field(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, tags=["items"], exclude=FILES)
    wrong = call(api, "create_item", ADA, name="p", price=-1)
    assert wrong.is_error
    assert wrong.text == (
        "name: String should have at least 2 characters\nprice: Input should be greater than 0"
    )
    assert "item_id: missing, but required" in call(api, "getItem", ADA).text
    assert "colour: unknown argument" in call(api, "getItem", ADA, item_id=1, colour=1).text


SEGMENT = "must be one segment of a path, without '/'"
DOTS = "must not have '.' or '..' as a segment of a path"
CONTROL = "must not have control characters"


@pytest.mark.parametrize(
    ("tool", "argument", "value", "words"),
    [
        ("delete_item", "item_id", "1/name/x", SEGMENT),
        ("delete_item", "item_id", "../odd", SEGMENT),
        ("delete_item", "item_id", "", SEGMENT),
        ("delete_item", "item_id", "..", DOTS),
        ("delete_item", "item_id", ".", DOTS),
        ("delete_item", "item_id", "a\r\nb", CONTROL),
        ("delete_item", "item_id", "a\0", CONTROL),
        ("echo", "path", "../../items", DOTS),
        ("echo", "path", "a/./b", DOTS),
    ],
)
def test_an_argument_does_not_lead_to_another_endpoint(
    api: FastAPI, server: MCPServer, tool: str, argument: str, value: str, words: str
) -> None:
    expose(api, server, operations=["delete_item", "echo"])
    wrong = call(api, tool, ADA, **{argument: value})
    assert (wrong.is_error, wrong.text) == (True, f"{argument}: {words}")


@pytest.mark.parametrize("place", ["application", "router", "mounted"])
@pytest.mark.parametrize("tool", ["one", "wide"])
def test_an_argument_does_not_reach_an_endpoint_that_is_not_exposed(place: str, tool: str) -> None:
    api, inner, routes = FastAPI(), FastAPI(), APIRouter(prefix="/orders")

    @routes.get("/all")
    def everything() -> str:
        return "secret"

    @routes.get("/hidden", include_in_schema=False)
    def hidden() -> str:
        return "secret"

    @routes.post("/sent")
    def sent() -> str:
        return "secret"

    @routes.get("/{name}", operation_id="one")
    def one(name: str) -> str:
        return name

    @routes.get("/files/all")
    def all_files() -> str:
        return "secret"

    @routes.get("/files/{name:path}", operation_id="wide")
    def wide(name: str) -> str:
        return name

    if place == "application":
        api.mount("/orders/files/static", FastAPI())
        api.router.routes.extend(routes.routes)
    elif place == "router":
        api.include_router(routes)
    else:
        inner.include_router(routes)
        api.get("/shops/{shop}/orders/outer")(everything)
        api.get("/shops/{shop}/orders/files/outer")(everything)
        api.mount("/shops/{shop}", inner)
    server = MCPServer("shop")
    expose(api, server, operations=["one", "wide"])
    mount(api, "/mcp", server)
    given = {"shop": "x"} if place == "mounted" else {}
    others = {"one": ["all", "hidden"], "wide": ["all"]}[tool]
    if (tool, place) == ("wide", "application"):
        others.append("static/x")
    if place == "mounted":
        others.append("outer")
    for name in others:
        refused = call(api, tool, name=name, **given)
        assert refused.is_error, name
        assert "lead to another endpoint, GET " in refused.text
    # The one of that path takes other methods.
    assert call(api, tool, name="sent", **given).text == "sent"
    assert call(api, tool, name="any", **given).text == "any"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\r\nx-admin: 1", "must not have line breaks or other control characters"),
        ("a\0", "must not have line breaks or other control characters"),
        (
            "Žluť",
            "is sent as a header, which cannot carry 'Ž'; only the letters of Latin-1 can be",
        ),
    ],
)
def test_an_argument_that_no_header_can_carry_is_refused(
    api: FastAPI, server: MCPServer, value: str, words: str
) -> None:
    expose(api, server, operations=["echo"])
    wrong = call(api, "echo", path="a", **{"x-trace": value})
    assert (wrong.is_error, wrong.text) == (True, f"x-trace: {words}")
    assert call(api, "echo", path="a", **{"x-trace": "é\ta"}).data["trace"] == "é\ta"


def test_answers_of_all_kinds(
    api: FastAPI, server: MCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    expose(api, server, tags=["odd"])
    assert call(api, "add_up", body=[1, 2, 3]).data == 6
    image = call(api, "picture").content[0]
    assert (image["type"], base64.b64decode(image["data"])) == ("image", shop.PNG)
    assert call(api, "report").text == "line 0\nline 1\nline 2\n"
    file = call(api, "archive").content[0]["resource"]
    assert (file["uri"], file["mimeType"]) == ("file:///a.zip", "application/zip")
    broken = call(api, "broken")
    assert broken.is_error
    assert "secret" not in broken.text


def test_the_documentation_of_the_application_stays_clean(api: FastAPI, server: MCPServer) -> None:
    expose(api, server, tags=["items"], exclude=FILES)
    assert not [path for path in api.openapi()["paths"] if path.startswith("/mcp")]


def test_nothing_chosen_is_an_error(api: FastAPI, server: MCPServer) -> None:
    with pytest.raises(DefinitionError, match="no endpoint of the application is chosen"):
        expose(api, server, operations=["create_item"], methods=["get"])


MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "tags": ({"tags": ["itemz"]}, "tags= matches no endpoint: 'itemz'; did you mean 'items'?"),
    "one tag": ({"tags": "itemz"}, "tags= matches no endpoint: 'itemz'; did you mean 'items'?"),
    "operations": (
        {"operations": ["getItems"]},
        "operations= matches no endpoint: 'getItems'; did you mean 'getItem'?",
    ),
    "paths": ({"paths": ["/itemz/*"]}, "paths= matches no endpoint: '/itemz/*'; did you mean '/it"),
    "exclude": (
        {"paths": ["*"], "exclude": ["internal"]},
        "exclude= matches no endpoint: 'internal'; there are: ",
    ),
    "names": (
        {"operations": ["getItem"], "names": {"get_itme": "x"}},
        "names= matches no endpoint that is chosen: 'get_itme'; did you mean 'getItem'?",
    ),
    "descriptions": (
        {"operations": ["getItem"], "descriptions": {"rename": "x"}},
        "descriptions= matches no endpoint that is chosen: 'rename'; there are: getItem",
    ),
    "methods": (
        {"tags": ["items"], "methods": ["GTE"]},
        "methods= names no method that a tool can have: 'gte'; did you mean 'get'?",
    ),
    "forward": (
        {"operations": ["getItem"], "forward": ["x api key"]},
        "forward= takes names of headers, and 'x api key' is none",
    ),
    "forward of its own": (
        {"operations": ["getItem"], "forward": ["Content-Length"]},
        "'content-length' cannot go along",
    ),
    "an option": ({"exclud": ["x"]}, "expose has no option 'exclud'; did you mean 'exclude'?"),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_a_word_that_matches_nothing_is_refused(api: FastAPI, server: MCPServer, case: str) -> None:
    options, words = MISSPELT[case]
    with pytest.raises(TypeError) as caught:
        expose(api, server, **options)
    assert words in str(caught.value)
    assert not server.registry.tools


def test_methods_are_written_as_one_likes(api: FastAPI) -> None:
    for methods in (["GET"], ["get"], "GET"):
        one = MCPServer("one")
        assert expose(api, one, paths="/items", methods=methods).tools == ["list_items"]


def test_all_endpoints_become_tools_or_none(api: FastAPI, server: MCPServer) -> None:
    server.tool(name="rename")(lambda: "mine")
    with pytest.raises(DefinitionError, match="the tool 'rename' is already defined"):
        expose(api, server, tags=["items"], exclude=FILES)
    assert list(server.registry.tools) == ["rename"]
    assert "rename" in expose(api, MCPServer("other"), tags=["items"], exclude=FILES).tools
    same = {"getItem": "same", "list_items": "same"}
    with pytest.raises(DefinitionError, match="would both be the tool"):
        expose(api, server, tags=["items"], exclude=FILES, names=same)
    assert list(server.registry.tools) == ["rename"]


def test_too_many_tools_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    api = FastAPI()
    for number in range(61):
        api.get(f"/{number}", operation_id=f"endpoint_{number}")(lambda: None)
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        expose(api, MCPServer("large"), paths=["*"])
    assert "The server 'large' has 61 tools" in caplog.text


def test_as_tool_needs_no_parentheses() -> None:
    api = FastAPI()

    @api.get("/bare/{number}")
    @as_tool
    async def bare(number: int) -> int:
        return number

    server = MCPServer("bare", open=True, secret_key="for-tests-only")
    assert expose(api, server).tools == ["bare"]
