"""JSON Schemas of the models that views take: pydantic's, marshmallow's, Flask-RESTX's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from mcp_mount.features import DefinitionError


def schema_of(model: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a model, or a schema as it is.

    Args:
        model: A model of pydantic or Flask-RESTX, a schema of marshmallow, or a JSON Schema.
        schemas: Gets what the schema refers to.

    Raises:
        DefinitionError: For what is no model, and for two of one name that differ.
    """
    if isinstance(model, type) and issubclass(model, BaseModel):
        return _with_components(model.model_json_schema(), schemas)
    if hasattr(model, "__schema__") and hasattr(model, "resolved"):
        return _restx_schema(model, schemas)
    if isinstance(model, Mapping):
        return _with_components(model, schemas)
    return _marshmallow_schema(model() if isinstance(model, type) else model)


def _with_components(schema: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema whose definitions are components of the document."""
    whole: dict[str, Any] = json.loads(
        json.dumps(schema).replace('"#/$defs/', '"#/components/schemas/')
    )
    for name, one in whole.pop("$defs", {}).items():
        if schemas.setdefault(name, one) != one:
            raise DefinitionError(f"two models of different kind are called {name!r}")
    return whole


def _restx_schema(model: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model of Flask-RESTX, which refers to others by their names in its API."""

    def moved(schema: Any) -> dict[str, Any]:
        text = json.dumps(schema).replace('"#/definitions/', '"#/components/schemas/')
        whole: dict[str, Any] = json.loads(text)
        return whole

    def add(inner: Any) -> None:
        if inner.name not in schemas:
            schemas[inner.name] = {}
            schemas[inner.name] = moved(inner.__schema__)
            add_fields(inner)

    def add_fields(one: Any) -> None:
        for parent in getattr(one, "__parents__", ()):
            add(parent)
        for field in one.resolved.values():
            inner = getattr(field, "container", field)
            if hasattr(inner, "nested"):
                add(inner.nested)

    add_fields(model)
    return moved(model.__schema__)


_MARSHMALLOW: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("Boolean", {"type": "boolean"}),
    ("Integer", {"type": "integer"}),
    ("Decimal", {"type": ["number", "string"]}),
    ("Number", {"type": "number"}),
    ("DateTime", {"type": "string"}),
    ("Date", {"type": "string", "format": "date"}),
    ("UUID", {"type": "string", "format": "uuid"}),
    ("Email", {"type": "string", "format": "email"}),
    ("Url", {"type": "string", "format": "uri"}),
    ("String", {"type": "string"}),
    ("Mapping", {"type": "object"}),
)
"""The first class of `marshmallow.fields` that a field is of tells its schema."""


def _marshmallow_schema(schema: Any) -> dict[str, Any]:
    if not hasattr(schema, "load_fields"):
        raise DefinitionError(f"{schema!r} is no model: give one of pydantic's, or a JSON Schema")
    fields = schema.load_fields.items()
    names = {name: field.data_key or name for name, field in fields}
    whole: dict[str, Any] = {
        "type": "object",
        "properties": {names[name]: _marshmallow_field(field) for name, field in fields},
        "required": [names[name] for name, field in fields if field.required],
    }
    return {"type": "array", "items": whole} if schema.many else whole


def _marshmallow_field(field: Any) -> dict[str, Any]:
    kinds = [kind.__name__ for kind in type(field).__mro__]
    if "Nested" in kinds:
        inner = _marshmallow_schema(field.schema)
        found: dict[str, Any] = inner
        if field.many and inner.get("type") != "array":
            found = {"type": "array", "items": inner}
    elif "List" in kinds:
        found = {"type": "array", "items": _marshmallow_field(field.inner)}
    else:
        found = dict(next((one for name, one in _MARSHMALLOW if name in kinds), {}))
    for validator in field.validators:
        if type(validator).__name__ == "OneOf":
            found["enum"] = list(validator.choices)
    if isinstance(field.load_default, str | int | float | bool):
        found["default"] = field.load_default
    description = field.metadata.get("description")
    if description:
        found["description"] = description
    if field.allow_none and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
