"""The fields of an object, by its schema in a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mcp_mount.openapi.references import References

_MAX_PARTS: Final = 200
"""How many objects are looked into, by `allOf`, for the fields of a body. Each may be a part of
several others, so that a short document may have very many."""

_MEMBERS: Final = frozenset(
    [
        *("additionalProperties", "allOf", "anyOf", "if", "not", "nullable", "oneOf"),
        *("patternProperties", "properties", "required"),
    ]
)
"""What says more of the fields of an object that is referred to, beside the reference."""


def fields_of(
    references: References, schema: Any, seen: list[Any] | None = None
) -> tuple[dict[str, Any], list[str]] | None:
    """The fields of an object and those that it needs; None if it may have others.

    What only answers have (`readOnly`) is left out.

    Args:
        references: Those of the document.
        schema: Of the object.
        seen: The objects that were looked into on the way to this one.

    Raises:
        DefinitionError: For a reference that leads nowhere, or out of the document.
    """
    seen = [] if seen is None else seen
    if isinstance(schema, Mapping) and schema.keys() & {"$ref"} and schema.keys() & _MEMBERS:
        # As 3.1 has it, where both hold.
        beside = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        others = schema.get("allOf")
        all_of = [{"$ref": schema["$ref"]}, *(others if isinstance(others, list) else ())]
        found: Any = {**beside, "allOf": all_of}
    else:
        found = references.resolved(schema)
    seen.append(found)
    if not isinstance(found, Mapping) or len(seen) > _MAX_PARTS:
        return None
    if found.get("additionalProperties") not in (None, False) or found.get("nullable") is True:
        return None
    if found.keys() & {"anyOf", "oneOf", "not", "if", "patternProperties"}:
        return None
    properties, required = found.get("properties"), found.get("required")
    parts = found.get("allOf")
    if found.get("type", "object") != "object" or not (properties or parts):
        return None
    fields: dict[str, Any] = {}
    needed: list[str] = []
    for part in parts if isinstance(parts, list) else ():
        inner = fields_of(references, part, seen)
        if inner is None:
            return None
        fields |= inner[0]
        needed += inner[1]
    for name, one in properties.items() if isinstance(properties, Mapping) else ():
        if not (isinstance(one, Mapping) and one.get("readOnly") is True):
            fields[name] = one
    needed += [name for name in fields if isinstance(required, list) and name in required]
    return (fields, needed) if fields else None
