"""JSON in strings: arguments that a client sends as the text of a value, in place of the value.

Several models send `"[1, 2]"` where a list is wanted, and the arguments of a prompt are strings by
the protocol. Such a string is read where the schema allows no string, so that it cannot have been
meant as one. Only arguments that did not fit are looked at: what fits is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic_core import from_json

_DEEPEST: Final = 64
"""How deep the values are that are looked into."""


def read_json_strings(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the strings in `arguments` that hold JSON where `schema` allows no string.

    Args:
        arguments: The arguments as the client sent them, by name.
        schema: Their JSON Schema.

    Returns:
        New arguments; the very same object where there is nothing to read.
    """
    read: Mapping[str, Any] = _Reader(schema).read(arguments, [schema], 0)
    return read


def takes_json(schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether a list or an object is wanted, and no string, so that a string is read as JSON.

    Args:
        schema: The schema of an argument.
        root: The whole schema, to which references refer.
    """
    reader = _Reader(root)
    members = (*reader.alternatives([schema], "array"), *reader.alternatives([schema], "object"))
    return bool(members) and not reader.allows_string(schema)


class _Reader:
    """Reads by one schema.

    Schemas of one place are kept in lists, each once: those of recursive unions would multiply
    with each level of a value, whose depth is the client's to choose.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, bool] = {}

    def read(self, value: Any, schemas: list[Any], depth: int) -> Any:
        """A value in which all strings that hold JSON are read; the same object if there are none.

        Args:
            value: The value.
            schemas: The schemas by which it may be valid.
            depth: How deep it is nested.
        """
        if depth > _DEEPEST or not schemas:
            return value
        if isinstance(value, str):
            if any(map(self.allows_string, schemas)):
                return value
            try:
                found = from_json(value, allow_inf_nan=False)
            except ValueError:
                return value
            return value if isinstance(found, str) else self.read(found, schemas, depth + 1)
        if isinstance(value, Mapping):
            objects = self.alternatives(schemas, "object")
            members = {
                name: self.read(member, _of_member(name, objects), depth + 1)
                for name, member in value.items()
            }
            return members if any(members[name] is not value[name] for name in value) else value
        if isinstance(value, list):
            arrays = self.alternatives(schemas, "array")
            items = [
                self.read(item, _of_item(place, arrays), depth + 1)
                for place, item in enumerate(value)
            ]
            changed = any(new is not old for new, old in zip(items, value, strict=True))
            return items if changed else value
        return value

    def allows_string(self, schema: Any) -> bool:
        """Whether a string may be valid by a schema; also where that cannot be said."""
        if not isinstance(schema, Mapping):
            return schema is not False
        known = self._known.get(id(schema))
        if known is None:
            # A schema that refers to itself says nothing by that.
            self._known[id(schema)] = True
            known = self._known[id(schema)] = self._allows(schema)
        return known

    def _allows(self, schema: Mapping[str, Any]) -> bool:
        if "$ref" in schema and not self.allows_string(self._resolved(schema)):
            return False
        kinds = schema.get("type")
        if kinds is not None and "string" not in ([kinds] if isinstance(kinds, str) else kinds):
            return False
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None and not any(isinstance(one, str) for one in values):
            return False
        if not all(map(self.allows_string, schema.get("allOf", ()))):
            return False
        return all(
            any(map(self.allows_string, schema[key])) for key in ("anyOf", "oneOf") if key in schema
        )

    def alternatives(self, schemas: list[Any], kind: str) -> list[Mapping[str, Any]]:
        """The schemas of an object or an array among those that some schemas are made of."""
        found: list[Mapping[str, Any]] = []
        seen: set[int] = set()
        waiting = list(schemas)
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping) or id(schema) in seen:
                continue
            seen.add(id(schema))
            parts = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
            if "$ref" in schema:
                parts.append(self._resolved(schema))
            waiting += parts
            kinds = schema.get("type")
            if kinds is None:
                is_fitting = not parts or "properties" in schema or "items" in schema
            else:
                is_fitting = kind in ([kinds] if isinstance(kinds, str) else kinds)
            if is_fitting:
                found.append(schema)
        return found

    def _resolved(self, schema: Mapping[str, Any]) -> Any:
        """What a reference refers to; anything, if that is unclear."""
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#"):
            return True
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step, True) if isinstance(found, Mapping) else True
        return found


def _of_member(name: str, objects: list[Mapping[str, Any]]) -> list[Any]:
    """The schemas of a member, by those of its object."""
    return _each_once(
        one.get("properties", {}).get(name, one.get("additionalProperties", True))
        for one in objects
    )


def _of_item(place: int, arrays: list[Mapping[str, Any]]) -> list[Any]:
    """The schemas of an item, by those of its array."""
    return _each_once(
        one["prefixItems"][place]
        if place < len(one.get("prefixItems", ()))
        else one.get("items", True)
        for one in arrays
    )


def _each_once(schemas: Iterable[Any]) -> list[Any]:
    once: list[Any] = []
    for schema in schemas:
        if schema not in once:
            once.append(schema)
    return once
