"""Parameters as documents describe them, and the requests that are made of arguments."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mcp_mount.openapi.document import Document
from mcp_mount.openapi.payloads import FORM
from mcp_mount.schemas.arguments import InvalidArguments
from tests.openapi.machine import Machine, body, document

ARRAY = {"type": "array", "items": {"type": "string"}}
OBJECT = {"type": "object", "properties": {"r": {"type": "integer"}, "g": {}}}


@pytest.mark.parametrize(
    ("described", "value", "query"),
    [
        ({"schema": ARRAY}, ["a", "b"], [("v", "a"), ("v", "b")]),
        ({"schema": ARRAY, "explode": False}, ["a", "b"], [("v", "a,b")]),
        (
            {"schema": ARRAY, "style": "spaceDelimited", "explode": False},
            ["a", "b"],
            [("v", "a b")],
        ),
        ({"schema": ARRAY, "style": "pipeDelimited"}, ["a", "b"], [("v", "a|b")]),
        ({"schema": OBJECT}, {"r": 1, "g": [2, 3]}, [("r", "1"), ("g", "2"), ("g", "3")]),
        ({"schema": OBJECT, "explode": False}, {"r": 1, "g": 2}, [("v", "r,1,g,2")]),
        (
            {"schema": OBJECT, "style": "deepObject"},
            {"r": 1, "g": {"h": [2, 3]}},
            [("v[r]", "1"), ("v[g][h]", "2"), ("v[g][h]", "3")],
        ),
        (
            {"content": {"application/json": {"schema": OBJECT}}},
            {"r": [1]},
            [("v", '{"r":[1]}')],
        ),
        ({"schema": {"type": "boolean"}}, True, [("v", "true")]),
        ({"schema": {"type": "string"}}, None, []),
        ({"type": "integer"}, 3, [("v", "3")]),
        ({"schema": ARRAY, "style": "spaceDelimited", "explode": True}, ["a"], [("v", "a")]),
        (
            {"schema": OBJECT, "style": "pipeDelimited", "explode": False},
            {"r": 1, "g": 2},
            [("v", "r|1|g|2")],
        ),
        ({"schema": {"anyOf": [OBJECT, {"type": "null"}]}}, {"r": 1}, [("r", "1")]),
        ({"schema": {"type": ["object", "null"]}}, {"r": 1}, [("r", "1")]),
        ({"schema": {"type": "string"}}, {"r": 1}, [("v", '{"r":1}')]),
        # RFC 6570 leaves out members that are null, and lists and objects without members.
        ({"schema": ARRAY}, ["a", None], [("v", "a")]),
        ({"schema": ARRAY, "explode": False}, ["a", None], [("v", "a")]),
        ({"schema": ARRAY, "explode": False}, [None], []),
        ({"schema": ARRAY, "explode": False}, [], []),
        ({"schema": OBJECT}, {"r": None, "g": [1, None]}, [("g", "1")]),
        ({"schema": OBJECT, "explode": False}, {"r": None, "g": 2}, [("v", "g,2")]),
        ({"schema": OBJECT, "style": "deepObject"}, {"r": None, "g": [None, 1]}, [("v[g]", "1")]),
        ({"content": {"application/json": {"schema": ARRAY}}}, [None], [("v", "[null]")]),
    ],
)
def test_a_query_is_written_in_its_style(
    described: Any, value: Any, query: list[tuple[str, str]]
) -> None:
    machine = Machine(document(parameters=[{"name": "v", "in": "query", **described}]))
    assert machine.request("op", v=value).query == query


@pytest.mark.parametrize(
    ("place", "style", "value", "between"),
    [
        ("query", {"explode": False}, ["a,b"], ","),
        ("query", {"style": "pipeDelimited"}, ["a|b", "c"], "|"),
        ("query", {"style": "spaceDelimited"}, {"r": "a b"}, " "),
        ("path", {}, ["a,b"], ","),
        ("header", {"explode": True}, {"r": [1, 2]}, ","),
    ],
)
def test_a_value_with_what_stands_between_values_is_refused(
    place: str, style: Any, value: Any, between: str
) -> None:
    one = {"name": "v", "in": place, "schema": {"type": "array"}, **style}
    machine = Machine(document("/x/{v}" if place == "path" else "/x", parameters=[one]))
    refused = machine.call("op", v=value)
    assert refused.is_error
    assert refused.text.startswith(f"v: must have no {between!r} within a value")
    assert not machine.sent


def test_a_header_of_nothing_is_not_sent_and_a_path_of_nothing_is_refused() -> None:
    header = {"name": "X-V", "in": "header", "schema": ARRAY}
    assert Machine(document(parameters=[header])).request("op", **{"X-V": [None]}).headers == {}
    one = {"name": "v", "in": "path", "required": True, "schema": ARRAY}
    refused = Machine(document("/x/{v}", parameters=[one])).call("op", v=[])
    assert refused.text.startswith("v: must be one segment")


def test_the_schema_of_a_content_is_that_of_the_argument() -> None:
    content = {"application/json": {"schema": OBJECT}}
    machine = Machine(document(parameters=[{"name": "q", "in": "query", "content": content}]))
    assert machine.schema("op")["properties"]["q"]["properties"]["r"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("explode", "value", "text"),
    [(False, ["a", "b"], "a,b"), (False, {"r": 1}, "r,1"), (True, {"r": 1, "g": 2}, "r=1,g=2")],
)
def test_the_path_and_headers_are_simple(explode: bool, value: Any, text: str) -> None:
    one = {"name": "v", "in": "path", "required": True, "schema": {}, "explode": explode}
    machine = Machine(document("/x/{v}", parameters=[one]))
    assert machine.request("op", v=value).path == f"/x/{text}"
    header = {"name": "X-V", "in": "header", "schema": {}, "explode": explode}
    machine = Machine(document(parameters=[header]))
    assert machine.request("op", **{"X-V": value}).headers == {"x-v": text}


def test_parameters_of_the_path_item_are_merged_and_overridden() -> None:
    given = document(
        "/x/{id}", parameters=[{"name": "q", "in": "query", "schema": {"type": "integer"}}]
    )
    given["paths"]["/x/{id}"]["parameters"] = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {"name": "q", "in": "query", "schema": {"type": "string"}},
    ]
    machine = Machine(given)
    assert machine.schema("op")["properties"] == {
        "id": {"type": "integer"},
        "q": {"type": "integer"},
    }
    assert machine.request("op", id=7).path == "/x/7"


def test_parameters_bodies_and_responses_may_be_references() -> None:
    components = {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {}}},
        "requestBodies": {"New": body({"$ref": "#/components/schemas/New"})["requestBody"]},
        "responses": {
            "Made": {"content": {"application/json": {"schema": {"type": "object", "x": 1}}}}
        },
        "schemas": {"New": {"$ref": "#/components/schemas/Pet"}, "Pet": OBJECT},
    }
    given = document(
        "/x/{id}",
        "post",
        parameters=[{"$ref": "#/components/parameters/Id"}],
        requestBody={"$ref": "#/components/requestBodies/New"},
        responses={201: {"$ref": "#/components/responses/Made"}},
        components=components,
    )
    machine = Machine(given, output_schemas=True)
    assert list(machine.schema("op")["properties"]) == ["id", "r", "g"]
    assert machine.output("op") == {"type": "object", "x": 1}
    sent = machine.request("op", id=1, r=2)
    assert (sent.path, sent.body) == ("/x/1", b'{"r":2}')


def test_a_parameter_that_the_document_forgets_is_one_all_the_same() -> None:
    machine = Machine(document("/x/{id}/{rest:path}"))
    assert machine.schema("op")["required"] == ["id", "rest"]
    assert machine.request("op", id="1", rest="a/b").path == "/x/1/a/b"


@pytest.mark.parametrize(
    ("path", "routed", "knows", "is_wide"),
    [
        ("/files/{name}", "/files/{name:path}", False, True),
        ("/own/files/{name}", "/files/{name:path}", False, False),
        ("/files/{name}", "/files/{rest:path}", False, False),
        ("/files/{name}", "/files/{rest:path}", True, True),
        ("/files/{name}/x", "/files/{name:path}", True, False),
    ],
)
def test_a_parameter_has_several_segments_where_its_own_route_says_so(
    path: str, routed: str, knows: bool, is_wide: bool
) -> None:
    known = {"knows": lambda method, path: True} if knows else {}
    own = Document(document(path), [routed], **known)
    [operation] = own.operations()
    arguments = own.arguments(operation, ())
    if is_wide:
        assert arguments.request(operation, {"name": "a/b"}).path == "/files/a/b"
    else:
        with pytest.raises(InvalidArguments, match="name: must be one segment"):
            arguments.request(operation, {"name": "a/b"})


def test_arguments_have_names_that_the_apis_of_models_take() -> None:
    names = ["filter[name]", "$top", "page.size", "x y"]
    given = document(
        "/x/{id}",
        "post",
        parameters=[
            *({"name": name, "in": "query", "schema": {}} for name in names),
            {"name": "id", "in": "query", "schema": {}},
        ],
        **body({"type": "object", "properties": {"@type": {}, "id": {}}}),
    )
    machine = Machine(given)
    assert list(machine.schema("op")["properties"]) == [
        *("id", "filter_name", "top", "page.size", "x_y", "query_id", "body"),
    ]
    sent = machine.request("op", id="1", filter_name="a", query_id=2, body={"@type": "T", "id": 3})
    assert sent.query == [("filter[name]", "a"), ("id", "2")]
    assert (sent.path, sent.body) == ("/x/1", b'{"@type":"T","id":3}')


def test_the_fields_of_a_body_that_is_made_of_several_stand_side_by_side() -> None:
    components = {
        "schemas": {"Base": {"type": "object", "properties": {"a": {}}, "required": ["a"]}}
    }
    whole = {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"b": {}}}]}
    machine = Machine(document("/x", "post", components=components, **body(whole)))
    assert machine.schema("op")["properties"] == {"a": {}, "b": {}}
    assert machine.schema("op")["required"] == ["a"]


FIELDS = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}


@pytest.mark.parametrize("kind", ["application/json", FORM, "multipart/form-data"])
def test_a_body_that_may_be_left_out_needs_its_fields_only_where_some_are_given(kind: str) -> None:
    machine = Machine(document("/x", "post", **body(FIELDS, kind, required=False)))
    schema = machine.schema("op")
    assert schema["required"] == []
    validator = Draft202012Validator(schema)
    for fits, given in ((True, {}), (True, {"a": 1}), (True, {"a": 1, "b": 2}), (False, {"b": 2})):
        assert validator.is_valid(given) == fits, given
    assert machine.request("op").body is None
    assert machine.request("op", a=1).body


@pytest.mark.parametrize("required", [{}, {"required": True}])
def test_a_body_that_is_not_said_to_be_optional_needs_its_fields(required: Any) -> None:
    machine = Machine(document("/x", "post", **body(FIELDS, **required)))
    assert machine.schema("op")["required"] == ["a"]
    assert machine.request("op").body == b"{}"


def test_what_stands_beside_a_reference_to_a_parameter_or_a_path_comes_first() -> None:
    given = document(
        parameters=[{"$ref": "#/components/parameters/Q", "description": "mine"}],
        components={
            "parameters": {"Q": {"name": "q", "in": "query", "schema": {}, "description": "theirs"}}
        },
    )
    other = {"name": "r", "in": "query", "schema": {}}
    given["paths"]["/y"] = {"$ref": "#/paths/~1x", "parameters": [other]}
    machine = Machine(given)
    assert machine.schema("get_x")["properties"] == {"q": {"description": "mine"}}
    assert list(machine.schema("get_y")["properties"]) == ["r", "q"]


@pytest.mark.parametrize("shape", ["cycle", "diamond"])
def test_a_body_of_endlessly_many_parts_is_one_argument(shape: str) -> None:
    def part(number: int) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/A{number % 40 if shape == 'cycle' else number}"}

    schemas: dict[str, Any] = {f"A{one}": {"allOf": [part(one + 1)] * 2} for one in range(40)}
    schemas["A40"] = {"properties": {"z": {}}}
    machine = Machine(document("/x", "post", components={"schemas": schemas}, **body(part(0))))
    assert list(machine.schema("op")["properties"]) == ["body"]


def test_fields_beside_a_reference_are_fields_too() -> None:
    schemas = {"Base": {"type": "object", "properties": {"a": {}}, "required": ["a"]}}
    whole = {
        "$ref": "#/components/schemas/Base",
        "properties": {"b": {}},
        "required": ["b"],
        "description": "d",
    }
    machine = Machine(document("/x", "post", components={"schemas": schemas}, **body(whole)))
    assert machine.schema("op")["required"] == ["a", "b"]
    assert machine.request("op", a=1, b=2).body == b'{"a":1,"b":2}'


def test_what_only_answers_have_is_no_argument_and_the_other_way_round() -> None:
    pet = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "name": {"type": "string"},
            "password": {"type": "string", "writeOnly": True},
        },
        "required": ["id", "name", "password"],
    }
    given = document(
        "/x",
        "post",
        components={"schemas": {"Pet": pet}},
        responses={"200": {"content": {"application/json": {"schema": pet}}}},
        **body({"type": "object", "properties": {"pet": {"$ref": "#/components/schemas/Pet"}}}),
    )
    machine = Machine(given, output_schemas=True)
    definition = machine.schema("op")["$defs"]["Pet"]
    assert list(definition["properties"]) == ["name", "password"]
    assert definition["required"] == ["name", "password"]
    output = machine.output("op")
    assert output is not None
    assert (list(output["properties"]), output["required"]) == (["id", "name"], ["id", "name"])


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("text/plain", "hé", ("hé".encode(), "text/plain; charset=utf-8")),
        ("application/xml", "<a/>", (b"<a/>", "application/xml; charset=utf-8")),
        ("application/octet-stream", "aGk=", (b"hi", "application/octet-stream")),
        ("image/*", "data:image/png;base64,aGk", (b"hi", "image/png")),
        ("application/merge-patch+json", [1], (b"[1]", "application/merge-patch+json")),
        ("*/*", [1], (b"[1]", "application/json")),
    ],
)
def test_a_body_of_any_media_type_is_one_argument(kind: str, value: Any, sent: Any) -> None:
    machine = Machine(document("/x", "put", **body({}, kind, required=True)))
    assert machine.schema("op")["required"] == ["body"]
    request = machine.request("op", body=value)
    assert (request.body, request.content_type) == sent
