"""Documents as they are found in the wild: what is read, what is left out, and why."""

from __future__ import annotations

import datetime
import json
import logging
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcp_mount import DefinitionError, MCPServer
from mcp_mount.openapi.exposing import expose_document
from tests.openapi.machine import OK, Machine, body, document


def parameter(schema: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "v", "in": "query", "schema": schema}]}


def ref(name: str) -> dict[str, str]:
    return {"$ref": name}


@pytest.mark.parametrize(
    ("schema", "translated"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"allOf": [{"type": "object"}], "nullable": True, "description": "d"},
            {"description": "d", "anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]},
        ),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        (
            {"type": "number", "minimum": 1, "exclusiveMinimum": True},
            {"type": "number", "exclusiveMinimum": 1},
        ),
        (
            {"type": "number", "maximum": 1, "exclusiveMaximum": False},
            {"type": "number", "maximum": 1},
        ),
        ({"type": "object", "required": True, "xml": {"name": "x"}}, {"type": "object"}),
        ({"type": "any", "enum": [], "allOf": [], "minLength": "1"}, {}),
        (
            {"properties": {"$ref": {"type": "string"}, "nullable": {}}, "default": ref("x")},
            {"properties": {"$ref": {"type": "string"}, "nullable": {}}, "default": ref("x")},
        ),
        ({"type": "array", "items": [{}, False]}, {"type": "array", "prefixItems": [{}, False]}),
    ],
)
def test_the_schemas_of_3_0_are_translated(schema: Any, translated: Any) -> None:
    machine = Machine(document(**parameter(schema)))
    assert machine.schema("op")["properties"]["v"] == translated


def test_an_answer_that_may_be_null_fits_its_schema() -> None:
    pet = {"type": "object", "properties": {"name": {"type": "string", "nullable": True}}}
    answers = {"200": {"content": {"application/json": {"schema": pet}}}}
    machine = Machine(document(responses=answers), output_schemas=True)
    machine.answers = [type(OK)(200, OK.headers, b'{"name":null}')]
    assert machine.call("op").structured == {"name": None}
    assert machine.output("op") is not None


def test_schemas_may_refer_to_themselves_and_one_another() -> None:
    schemas = {
        "Node": {"type": "object", "properties": {"next": ref("#/components/schemas/Node~1 x")}},
        "Node/ x": {"allOf": [ref("#/components/schemas/Node")]},
    }
    given = document(components={"schemas": schemas}, **parameter(ref("#/components/schemas/Node")))
    schema = Machine(given).schema("op")
    assert schema["properties"]["v"] == ref("#/$defs/Node")
    assert schema["$defs"] == {
        "Node": {"type": "object", "properties": {"next": ref("#/$defs/Node__x")}},
        "Node__x": {"allOf": [ref("#/$defs/Node")]},
    }


def test_a_schema_of_pydantic_may_bring_its_own_definitions() -> None:
    def model(kind: str) -> dict[str, Any]:
        return {
            "$defs": {"Part": {"type": kind}},
            "type": "object",
            "properties": {"part": ref("#/$defs/Part")},
        }

    paths = {f"/{kind}": {"post": body(model(kind))} for kind in ("string", "number")}
    machine = Machine({"openapi": "3.1.0", "paths": paths})
    for kind in ("string", "number"):
        schema = machine.schema(f"post_{kind}")
        [definition] = schema["$defs"].values()
        assert definition == {"type": kind}
        Draft202012Validator(schema).validate({})


OUT = "and nothing is fetched: bundle the document into one"
UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "dangling schema": (parameter(ref("#/components/schemas/No")), "/No' leads nowhere"),
    "dangling deep": (body({"properties": {"a": {"items": ref("#/x")}}}), "'#/x' leads nowhere"),
    "dangling parameter": ({"parameters": [ref("#/x")]}, "the $ref '#/x' leads nowhere"),
    "dangling body": ({"requestBody": ref("#/x")}, "the $ref '#/x' leads nowhere"),
    "file": (body(ref("pet.yaml#/Pet")), f"'pet.yaml#/Pet' leads out of the document, {OUT}"),
    "URL": (parameter(ref("https://x.org/a.json")), f"leads out of the document, {OUT}"),
    "circle": (body(ref("#/components/schemas/A")), "leads back to itself"),
    "whole": (parameter(ref("#")), "the $ref '#' leads nowhere"),
    "circle of parameters": (
        {"parameters": [ref("#/paths/~1bad/post/parameters/0")]},
        "leads back to itself",
    ),
    "circle of bodies": (
        {"requestBody": ref("#/paths/~1bad/post/requestBody")},
        "leads back to itself",
    ),
    "no name": ({"parameters": [{"in": "query"}]}, "a parameter in 'query' has no name"),
    "Swagger's body": ({"parameters": [{"name": "b", "in": "body"}]}, "a member of Swagger 2.0"),
    "no object": ({"parameters": ["x"]}, "a parameter is an object, not 'x'"),
    "a style": (
        {"parameters": [{"name": "v", "in": "query", "style": "matrix"}]},
        "the style 'matrix', which a query parameter of a tool cannot have",
    ),
    **{
        style: (
            {"parameters": [{"name": "v", "in": "path", "required": True, "style": style}]},
            f"the style '{style}', which a path parameter of a tool cannot have",
        )
        for style in ("label", "matrix")
    },
    "a form without fields": (body({}, "multipart/form-data"), "names no fields of it"),
    "two mirrored parameters": (
        {
            "parameters": [
                {"name": name, "in": "query", "schema": {"type": "string", "x-mcp-header": "A"}}
                for name in "ab"
            ]
        },
        "two parameters are mirrored",
    ),
}
CIRCLE = {"schemas": {"A": ref("#/components/schemas/B"), "B": ref("#/components/schemas/A")}}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_a_tool_is_left_out_and_reported(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    members, words = UNFIT[case]
    given = document("/bad", "post", components=CIRCLE, **members)
    given["paths"]["/good"] = {"get": {"operationId": "good"}}
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        machine = Machine(given)
    assert machine.exposed.tools == ["good"]
    assert list(machine.exposed.left_out) == ["POST /bad"]
    assert words in machine.exposed.left_out["POST /bad"]
    assert [one.getMessage().count("POST /bad") for one in caplog.records] == [1]
    with pytest.raises(DefinitionError) as caught:
        Machine(given, paths=(), operations=["op", "good"])
    assert "POST /bad cannot be a tool: " in str(caught.value)
    assert words in str(caught.value)


def test_a_failed_expose_leaves_nothing_behind_and_may_come_again() -> None:
    given = document("/bad", "post", **UNFIT["file"][0])
    given["paths"]["/good"] = {"get": {"operationId": "good"}}
    server = MCPServer("s")

    def expose(*operations: str) -> Any:
        return expose_document(server, given, lambda *_: OK, operations=operations)

    with pytest.raises(DefinitionError):
        expose("good", "op")
    assert not server.registry.tools
    assert expose("good").tools == ["good"]


def test_where_nothing_is_left_the_reasons_are_told() -> None:
    with pytest.raises(DefinitionError, match=r"can be a tool:\nPOST /bad: the \$ref '#/x' leads"):
        Machine(document("/bad", "post", **UNFIT["dangling body"][0]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"swagger": "2.0", "paths": {}}, "the document is of Swagger 2.0, which is not read"),
        ({"openapi": "4.0.0", "paths": {}}, "the document is of OpenAPI 4.0.0"),
        ({"openapi": "3.1.0"}, "the document has no paths"),
        ("openapi.json", "is given as data, such as json.loads(text), not as str"),
        ({"paths": {"/x": {"get": {"operationId": b"\xff"}}}}, "the document has no JSON form"),
    ],
)
def test_what_is_no_such_document_is_refused_by_name(wrong: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Machine(wrong)
    assert words in str(caught.value)


def test_a_document_out_of_yaml_has_dates_and_numbers_as_names() -> None:
    given = document(
        responses={200: {"content": {"application/json": {"schema": {"type": "object", "a": 1}}}}},
        **parameter({"type": "string", "example": datetime.date(2026, 1, 2)}),
    )
    machine = Machine(given, output_schemas=True)
    assert machine.schema("op")["properties"]["v"]["example"] == "2026-01-02"
    assert machine.output("op") is not None


def test_many_tools_are_warned_of_once_for_a_server(caplog: pytest.LogCaptureFixture) -> None:
    server = MCPServer("big")
    paths = {f"/{number}": {"get": {}} for number in range(70)}
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        for some in ("/[0-4]?", "/5?", "/6?", "/[0-9]"):
            expose_document(server, {"paths": paths}, lambda *_: OK, paths=some)
    told = [one.getMessage() for one in caplog.records]
    assert [one.partition(":")[0] for one in told] == ["The server 'big' has 70 tools"]


def test_operations_without_an_id_are_called_by_method_and_path() -> None:
    paths = {"/v1/pets/{pet_id}": {"get": {}, "delete": {"operationId": ""}}, "/": {"get": {}}}
    machine = Machine({"paths": paths})
    assert machine.exposed.tools == ["get_v1_pets_pet_id", "delete_v1_pets_pet_id", "get"]


def test_names_that_meet_are_made_of_method_and_path_and_are_fit_for_models() -> None:
    paths = {f"/v{n}/pets": {"get": {"operationId": "pets.list:all"}} for n in (1, 2)}
    paths["/odd"] = {"get": {"operationId": "ä.b c" + "x" * 90}}
    machine = Machine({"paths": paths})
    assert machine.exposed.tools[:2] == ["get_v1_pets", "get_v2_pets"]
    assert machine.exposed.tools[2] == ("b_c" + "x" * 90)[:64]


def test_names_come_from_a_function_and_are_checked() -> None:
    given = document("/x/y")
    machine = Machine(given, name=lambda one: one.path.replace("/", "."), prefix="my")
    assert machine.exposed.tools == ["my.x.y"]
    assert Machine(given, name=lambda one: None).exposed.tools == ["op"]
    with pytest.raises(DefinitionError, match="GET /x/y: 'a b' is no tool name"):
        Machine(given, name=lambda one: "a b")
    with pytest.raises(DefinitionError, match="name= is a function of an Operation"):
        Machine(given, name="x")


def test_tags_may_be_excluded() -> None:
    paths = {f"/{tag}": {"get": {"operationId": tag, "tags": [tag, "all"]}} for tag in "ab"}
    assert Machine({"paths": paths}, paths=(), tags="all", exclude_tags="b").exposed.tools == ["a"]
    with pytest.raises(DefinitionError, match="exclude_tags= matches no endpoint: 'c'"):
        Machine({"paths": paths}, exclude_tags=["c"])


@pytest.mark.parametrize(
    ("servers", "known", "path"),
    [
        ([{"url": "https://api.example.org/api/v1/"}], None, "/api/v1/x"),
        ([{"url": "/{base}", "variables": {"base": {"default": "v2"}}}], None, "/v2/x"),
        ([{"url": "./"}], None, "/x"),
        ([{"url": "https://a.org/one"}, {"url": "/two"}], "/two/x", "/two/x"),
        ([{"url": "https://a.org/stripped/by/a/proxy"}], "/x", "/x"),
        (None, "/x", "/x"),
    ],
)
def test_the_paths_of_servers_stand_before_those_of_the_document(
    servers: Any, known: str | None, path: str
) -> None:
    given = {**document(), "servers": servers}
    knows = None if known is None else lambda method, one: (method, one) == ("GET", known)
    machine = Machine(given, knows=knows)
    assert machine.exposed.tools == ["op"]
    assert machine.request("op").path == path


def test_an_operation_that_the_application_has_no_route_for_is_left_out() -> None:
    given = document()
    given["paths"]["/gone"] = {"get": {}}
    machine = Machine(given, knows=lambda method, path: path == "/x")
    assert machine.exposed.left_out == {"GET /gone": "the application has no such route"}


def test_extensions_and_odd_members_of_a_document_do_no_harm() -> None:
    given = document(tags=None, parameters=None, responses=None, description=7)
    given["paths"] |= {"x-note": "hello", "/n": None, "/item": ref("#/nowhere")}
    given["paths"] |= {"x-internal": True, "x-old": ref("#/nowhere"), "x-op": {"get": {}}}
    given["paths"]["/x"] |= {"x-internal": True, "x-get": {"operationId": "no"}}
    machine = Machine(given)
    assert machine.exposed.tools == ["op"]
    assert machine.exposed.left_out == {"/item": "the $ref '#/nowhere' leads nowhere"}


A = ref("#/components/schemas/A")
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
WHOLE = {
    "openapi": "3.0.0",
    "servers": [{"url": "/v1"}],
    "paths": {
        "/a/{id}": {
            "parameters": [ref("#/components/parameters/Id")],
            "get": {
                "operationId": "a",
                "tags": ["t"],
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"content": {"application/json": {"schema": A}}}},
            },
            "post": {
                "operationId": "b",
                "requestBody": {
                    "content": {"multipart/form-data": {"schema": A, "encoding": {"x": {}}}}
                },
            },
        }
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {}}},
        "schemas": {
            "A": {
                "type": "object",
                "properties": {"x": FILES},
                "required": ["x"],
                "allOf": [{"properties": {"y": {"nullable": True, "enum": [1]}}}],
            }
        },
    },
}
ODD = st.sampled_from(
    [
        *(None, True, 0, -1.5, "", "#", "x", "#/components/schemas/A", [], ["x"], [None], {}),
        *({"x": 1}, A, {"$ref": 7}, {"type": "object"}, {"/x": {"get": {}}}),
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = enumerate(value) if isinstance(value, list) else ()
    items = value.items() if isinstance(value, dict) else items
    return [path, *(one for key, item in items for one in places(item, (*path, key)))]


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(places(WHOLE)[1:]), ODD), min_size=1, max_size=3))
def test_whatever_a_document_has_nothing_but_definition_errors_comes_out(changes: Any) -> None:
    whole = deepcopy(WHOLE)
    for (*steps, last), value in changes:
        inner: Any = whole
        try:
            for step in steps:
                inner = inner[step]
            inner[last] = value
        except (KeyError, IndexError, TypeError):
            continue
    server = MCPServer("s", open=True)
    try:
        expose_document(server, whole, lambda *_: OK, paths="*", output_schemas=True)
    except DefinitionError:
        return
    for tool in server.registry.tools.values():
        json.dumps(tool.definition())
        Draft202012Validator.check_schema(tool.arguments.schema)
