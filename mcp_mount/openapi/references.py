"""The references of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_REFERENCE: Final = "#/components/schemas/"


def resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = (
        schemas[reference.removeprefix(_REFERENCE)] if reference.startswith(_REFERENCE) else schema
    )
    return found


def standing_alone(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with all that it refers to in its `$defs`."""
    definitions: dict[str, Any] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            reference = value.get("$ref")
            if isinstance(reference, str) and reference.startswith(_REFERENCE):
                name = reference.removeprefix(_REFERENCE)
                if name not in definitions:
                    definitions[name] = None
                    definitions[name] = moved(schemas[name])
                return {
                    **moved({k: v for k, v in value.items() if k != "$ref"}),
                    "$ref": f"#/$defs/{name}",
                }
            return {key: moved(item) for key, item in value.items()}
        return [moved(item) for item in value] if isinstance(value, list) else value

    whole: dict[str, Any] = moved(dict(schema))
    return {**whole, "$defs": definitions} if definitions else whole


def without_required(schema: Any) -> Any:
    """A schema of which any member may be missing."""
    if isinstance(schema, Mapping):
        return {
            key: without_required(value)
            for key, value in schema.items()
            if key != "required" or not isinstance(value, list)
        }
    return [without_required(one) for one in schema] if isinstance(schema, list) else schema
