"""Schemas that the user gives for bodies and queries: serializers, pydantic models, or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, TypeAdapter
from rest_framework.serializers import BaseSerializer

from mcp_mount.features import DefinitionError
from mcp_mount_django.exposing.rest_options import Schema
from mcp_mount_django.exposing.serializers import body_schema

_REFERENCE: Final = "#/components/schemas/"
_METHODS: Final = ("get", "post", "put", "patch", "delete")

_WORDS: Final = frozenset(
    ["properties", "type", "items", "$ref", "allOf", "anyOf", "oneOf", "additionalProperties"]
)
"""A JSON Schema has one of these keywords; a table of bare fields, which is not one, has none."""


def by_handler(name: str, table: Mapping[str, Schema] | None) -> dict[str, Schema]:
    """Return a table of schemas, by actions or by HTTP methods.

    Args:
        name: The name of the user's argument.
        table: What the user gave.

    Returns:
        The table, with methods in lower case.

    Raises:
        DefinitionError: If it is not a table, or a schema in it cannot be read.
    """
    if table is None:
        return {}
    if not isinstance(table, Mapping):
        raise DefinitionError(
            f"{name}= must be a dict: {{action or method: a serializer class, a pydantic model, or "
            f"a JSON Schema}}, not {table!r}"
        )
    for key, given in table.items():
        if not isinstance(key, str):
            raise DefinitionError(
                f"{name}={{{key!r}: ...}}: a key is the name of one action or method"
            )
        try:
            schema = schema_of_given(given, {})
        except DefinitionError as error:
            raise DefinitionError(f"{name}={{{key!r}: ...}}: {error}") from error
        if name == "query" and schema["type"] != "object":
            raise DefinitionError(
                f"{name}={{{key!r}: ...}}: a query has fields, and this is of type "
                f"{schema['type']!r}"
            )
    return {key.lower() if key.lower() in _METHODS else key: one for key, one in table.items()}


def schema_of_given(
    given: Schema, components: dict[str, Any], *, partial: bool = False
) -> dict[str, Any]:
    """Return the JSON Schema of what the user gave.

    Args:
        given: A class with fields, a serializer, or a JSON Schema.
        components: Gets the schemas that it refers to.
        partial: Whether serializers accept a part of their fields, as for PATCH.

    Raises:
        DefinitionError: If it is none of these, or has no fields.
    """
    is_serializer = isinstance(given, type) and issubclass(given, BaseSerializer)
    if is_serializer or isinstance(given, BaseSerializer):
        schema = _of_serializer(given, partial=partial)
    elif isinstance(given, type):
        try:
            schema = TypeAdapter(given).json_schema(ref_template=_REFERENCE + "{model}")
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
            raise DefinitionError(
                f"{given.__name__} is neither a serializer nor a pydantic model, nor a class of "
                "fields that pydantic knows"
            ) from None
        if schema.get("type") != "object" and "$ref" not in schema:
            raise DefinitionError(f"{given.__name__} has no fields: give a class with fields")
    elif isinstance(given, Mapping):
        if given and _WORDS.isdisjoint(given):
            raise DefinitionError(
                f"{dict(given)!r} is not a JSON Schema of fields: write them below "
                '{"properties": ...}'
            )
        schema = _with_references(dict(given))
    else:
        raise DefinitionError(
            f"takes a serializer class, a pydantic model, or a JSON Schema, not {given!r}"
        )
    components.update(schema.pop("$defs", {}))
    return {"type": "object", **schema}


def _of_serializer(given: Any, *, partial: bool) -> dict[str, Any]:
    name = getattr(given, "__name__", type(given).__name__)
    try:
        schema = body_schema(given(partial=partial) if isinstance(given, type) else given)
    except Exception as error:
        # The code of its fields may raise anything, for example because there is no request.
        raise DefinitionError(
            f"{name} cannot be made without a request ({type(error).__name__}: {error}): give a "
            "JSON Schema instead"
        ) from error
    if not schema:
        raise DefinitionError(f"{name} has no fields: give a JSON Schema instead")
    return schema


def _with_references(value: Any) -> Any:
    """Return a schema whose references lead to the components of a document."""
    if isinstance(value, Mapping):
        return {
            key: item.replace("#/$defs/", _REFERENCE)
            if key == "$ref" and isinstance(item, str)
            else _with_references(item)
            for key, item in value.items()
        }
    return [_with_references(one) for one in value] if isinstance(value, list) else value
