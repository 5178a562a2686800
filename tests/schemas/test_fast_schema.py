"""The fast look at a schema: what passes fits, whatever else it may not know."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcp_mount.schemas.fast_schema import fast_check

SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "integer"},
    {"type": "integer", "minimum": 1, "exclusiveMaximum": 3},
    {"type": "number", "maximum": 2.5},
    {"type": "string", "minLength": 1, "maxLength": 2},
    {"type": "string", "pattern": "^a"},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["integer", "null"]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 1},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    {"enum": ["a", "b"]},
    {"enum": [1, None]},
    {"const": "a", "type": "string"},
    {"const": 1},
    {"anyOf": [{"type": "integer"}, {"type": "string"}], "title": "Either"},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]},
    {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"a": True}, "additionalProperties": {"type": "null"}},
    {"type": "object", "maxProperties": 1},
    {"properties": {"a": {"type": "integer"}}},
    {"not": {"type": "integer"}},
    {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"a": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
                "required": ["a"],
            }
        },
    },
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 4)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "b", "ab", "abc"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@given(value=VALUES)
def test_what_passes_fits(schema: dict[str, Any], value: Any) -> None:
    if fast_check(schema)(value):
        assert Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": {}}}, [None]),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        (
            {"type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"type": "null"}}},
            [None],
        ),
        (SCHEMAS[-1], {"a": {"a": None}}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 1, "b": "more"}),
    ],
)
def test_what_frameworks_write_passes(schema: dict[str, Any], value: Any) -> None:
    assert fast_check(schema)(value)
