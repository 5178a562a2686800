"""The schemas of OpenAPI 3.0 and 3.1, as JSON Schema 2020-12.

Documents of 3.0 have members that JSON Schema does not know (`nullable`), and many documents have
some that neither does: a validator, or the API of a model, would refuse the whole tool for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_TYPES: Final = frozenset(
    ["array", "boolean", "integer", "null", "number", "object", "string"],
)
_MAPS: Final = frozenset(["properties", "patternProperties", "dependentSchemas"])
_LISTS: Final = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_SCHEMAS: Final = frozenset(
    [
        *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames"),
        *("then", "unevaluatedItems", "unevaluatedProperties"),
    ]
)
_LEFT: Final = frozenset(
    ["$defs", "definitions", "discriminator", "externalDocs", "nullable", "xml", "$schema", "$id"]
)
"""What is written otherwise, or says nothing to a model."""

_NUMBERS: Final = frozenset(
    [
        *("maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength"),
        *("minProperties", "minimum", "multipleOf"),
    ]
)


def translated(schema: Any, reference_to: Callable[[str], str], without: str) -> Any:
    """A schema as JSON Schema has it.

    Args:
        schema: As the document has it.
        reference_to: What to write in place of a reference.
        without: "readOnly" or "writeOnly": properties that are so are left out.

    Returns:
        A new schema; `True`, which allows all, for what is none.
    """
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        return True
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _LEFT:
            continue
        if key == "$ref":
            if isinstance(value, str):
                found[key] = reference_to(value)
        elif key in _MAPS:
            if isinstance(value, Mapping):
                found[key] = {
                    name: translated(one, reference_to, without)
                    for name, one in value.items()
                    if not (isinstance(one, Mapping) and one.get(without) is True)
                }
        elif key == "items" and isinstance(value, list):
            # As drafts before 2020-12 have it.
            if value:
                found["prefixItems"] = [translated(one, reference_to, without) for one in value]
        elif key in _SCHEMAS:
            found[key] = translated(value, reference_to, without)
        elif key in _LISTS:
            if isinstance(value, list) and value:
                found[key] = [translated(one, reference_to, without) for one in value]
        else:
            found |= _plain(key, value, schema)
    hidden = _hidden(schema, without)
    if "required" in found:
        found["required"] = [one for one in found["required"] if one not in hidden]
    return _nullable(found) if schema.get("nullable") is True else found


def _hidden(schema: Mapping[str, Any], without: str) -> set[str]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return set()
    return {
        name
        for name, one in properties.items()
        if isinstance(one, Mapping) and one.get(without) is True
    }


def _plain(key: str, value: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A member that has no schemas in it, if JSON Schema takes it."""
    if key == "type":
        return _type(value)
    if key in ("exclusiveMinimum", "exclusiveMaximum"):
        if not isinstance(value, bool):
            return {key: value} if isinstance(value, int | float) else {}
        # As in 3.0, where it says how `minimum` is meant.
        bound = schema.get(key.replace("exclusiveM", "m"))
        return {key: bound} if value and isinstance(bound, int | float) else {}
    if key in _NUMBERS:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        exclusive = schema.get(f"exclusive{key.capitalize()}") is True
        return {key: value} if is_number and not exclusive else {}
    if key == "required":
        is_list = isinstance(value, list)
        return {key: [one for one in value if isinstance(one, str)]} if is_list else {}
    if key == "enum":
        return {key: value} if isinstance(value, list) and value else {}
    if key in ("title", "description", "format", "pattern"):
        return {key: value} if isinstance(value, str) else {}
    return {key: value}


def _type(value: Any) -> dict[str, Any]:
    if value == "file":
        return {"type": "string", "format": "binary"}
    given = value if isinstance(value, list) else [value]
    kinds = [one for one in given if isinstance(one, str) and one in _TYPES]
    if not kinds:
        return {}
    return {"type": kinds if isinstance(value, list) else kinds[0]}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that also allows null."""
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    kind = schema.get("type")
    if isinstance(kind, str) and not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf"}:
        return {**schema, "type": kind if kind == "null" else [kind, "null"]}
    if isinstance(kind, list):
        return schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    if not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf"}:
        return schema
    said = ("title", "description", "default")
    told: dict[str, Any] = {key: schema[key] for key in said if key in schema}
    rest = {key: value for key, value in schema.items() if key not in told}
    return {**told, "anyOf": [rest, {"type": "null"}]}
