"""JSON in strings: arguments that a client sends as the text of a value, in place of the value.

Several models send `"[1, 2]"` where a list is wanted, and the arguments of a prompt are strings by
the protocol. Such a string is read where the schema allows no string, so that it cannot have been
meant as one. Only arguments that did not fit are looked at: what fits is never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import from_json

_DEEPEST: Final = 32
"""How many references and nested schemas are followed: a schema may refer to itself."""


def read_json_strings(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the strings in `arguments` that hold JSON where `schema` allows no string.

    Args:
        arguments: The arguments as the client sent them, by name.
        schema: Their JSON Schema.

    Returns:
        New arguments; the very same object where there is nothing to read.
    """
    read: Mapping[str, Any] = _read(arguments, schema, schema, 0)
    return read


def allows_string(schema: Any, root: Mapping[str, Any]) -> bool:
    """Whether a string may be valid by `schema`; also where that cannot be said.

    Args:
        schema: A JSON Schema, or a part of one.
        root: The whole schema, to which references refer.
    """
    return _allows(schema, root, 0)


def has_members(schema: Any, root: Mapping[str, Any]) -> bool:
    """Whether a list or an object may be valid by `schema`.

    Args:
        schema: A JSON Schema, or a part of one.
        root: The whole schema, to which references refer.
    """
    return any(
        next(_alternatives(schema, root, kind, 0), None) is not None for kind in ("array", "object")
    )


def _allows(schema: Any, root: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return schema is not False
    if "$ref" in schema and not _allows(_resolved(schema, root), root, depth + 1):
        return False
    kinds = schema.get("type")
    if kinds is not None and "string" not in ([kinds] if isinstance(kinds, str) else kinds):
        return False
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None and not any(isinstance(one, str) for one in values):
        return False
    if not all(_allows(one, root, depth + 1) for one in schema.get("allOf", ())):
        return False
    return all(
        any(_allows(one, root, depth + 1) for one in schema[key])
        for key in ("anyOf", "oneOf")
        if key in schema
    )


def _read(value: Any, schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    """A value with all strings in it read that hold JSON; the same object if there are none."""
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return value
    if isinstance(value, str) and not _allows(schema, root, 0):
        try:
            found = from_json(value, allow_inf_nan=False)
        except ValueError:
            return value
        return value if isinstance(found, str) else _read(found, schema, root, depth + 1)
    if isinstance(value, Mapping):
        members = {
            name: _read(member, _of_member(name, schema, root), root, depth + 1)
            for name, member in value.items()
        }
        return members if any(members[name] is not value[name] for name in value) else value
    if isinstance(value, list):
        items = [
            _read(item, _of_item(place, schema, root), root, depth + 1)
            for place, item in enumerate(value)
        ]
        return (
            items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        )
    return value


def _of_member(name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a member of an object: whatever one of the alternatives allows."""
    members = [
        one.get("properties", {}).get(name, one.get("additionalProperties", {}))
        for one in _alternatives(schema, root, "object", 0)
    ]
    return {"anyOf": members} if members else {}


def _of_item(place: int, schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an item of an array: whatever one of the alternatives allows."""
    items: list[Any] = []
    for one in _alternatives(schema, root, "array", 0):
        first = one.get("prefixItems", ())
        items.append(first[place] if place < len(first) else one.get("items", {}))
    return {"anyOf": items} if items else {}


def _alternatives(
    schema: Any, root: Mapping[str, Any], kind: str, depth: int
) -> Iterator[Mapping[str, Any]]:
    """The schemas of an object or an array among those that a schema is made of."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    parts = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
    if "$ref" in schema:
        parts.append(_resolved(schema, root))
    for part in parts:
        yield from _alternatives(part, root, kind, depth + 1)
    kinds = schema.get("type")
    if kinds is None:
        is_fitting = not parts or "properties" in schema or "items" in schema
    else:
        is_fitting = kind in ([kinds] if isinstance(kinds, str) else kinds)
    if is_fitting:
        yield schema


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """What a reference within the whole schema refers to; anything if that is unclear."""
    reference = schema["$ref"]
    if not isinstance(reference, str) or not reference.startswith("#"):
        return {}
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        found = found.get(step, {}) if isinstance(found, Mapping) else {}
    return found
