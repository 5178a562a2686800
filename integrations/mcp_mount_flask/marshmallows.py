"""JSON Schemas of the values that marshmallow schemas load."""

from __future__ import annotations

from typing import Any, Final

_KINDS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
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
"""The schema of a field: that of the first of these classes of `marshmallow.fields` that it has."""


def is_marshmallow(model: Any) -> bool:
    """Whether an object is a marshmallow schema, or a class of them."""
    return hasattr(model, "load_fields") or hasattr(model, "_declared_fields")


def schema_of_marshmallow(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema of a marshmallow schema, or of a class of them.

    Args:
        schema: The schema. It may be nested in itself: references to it lead to `$defs`.
    """
    walk = _Walk()
    own = schema() if isinstance(schema, type) else schema
    whole = walk.of(own, is_outermost=True)
    return {**whole, "$defs": walk.definitions} if walk.definitions else whole


class _Walk:
    """Walks a schema and the schemas nested in it."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._within: list[tuple[Any, ...]] = []
        self._names: dict[tuple[Any, ...], str] = {}
        self._referred: set[str] = set()

    def of(self, schema: Any, *, is_outermost: bool = False) -> dict[str, Any]:
        # Each nested schema is an object of its own; its class and its options identify it.
        key = type(schema), _set(schema.only), _set(schema.exclude)
        # The outermost schema of a class gets the plain name.
        name = self._name(key)
        reference = {"$ref": f"#/$defs/{name}"}
        if key in self._within:
            self._referred.add(name)
            found: dict[str, Any] = reference
        else:
            self._within.append(key)
            found = self._members(schema)
            self._within.pop()
            if name in self._referred:
                self.definitions[name] = found
                found = found if is_outermost else reference
        return {"type": "array", "items": found} if schema.many else found

    def _name(self, key: tuple[Any, ...]) -> str:
        if key not in self._names:
            name, number = key[0].__name__, 1
            while name in self._names.values():
                number += 1
                name = f"{key[0].__name__}_{number}"
            self._names[key] = name
        return self._names[key]

    def _members(self, schema: Any) -> dict[str, Any]:
        fields = schema.load_fields.items()
        names = {name: field.data_key or name for name, field in fields}
        return {
            "type": "object",
            "properties": {names[name]: self._field(field) for name, field in fields},
            "required": [names[name] for name, field in fields if field.required],
        }

    def _field(self, field: Any) -> dict[str, Any]:
        kinds = [kind.__name__ for kind in type(field).__mro__]
        found: dict[str, Any]
        if "Pluck" in kinds:
            # The value of a single field stands for the object.
            found = self._field(field.schema.fields[field.field_name])
            if field.many:
                found = {"type": "array", "items": found}
        elif "Nested" in kinds:
            found = self.of(field.schema)
            if field.many and not field.schema.many:
                found = {"type": "array", "items": found}
        elif "Enum" in kinds and not field.by_value:
            found = {"type": "string", "enum": [one.name for one in field.enum]}
        elif "Enum" in kinds:
            # A default that is not JSON, such as a date, is serialised by its field.
            found = self._field(field.field)
            values = [field.field._serialize(one.value, "", None) for one in field.enum]
            if all(isinstance(one, str | int | float | None) for one in values):
                found["enum"] = values
        elif "List" in kinds:
            found = {"type": "array", "items": self._field(field.inner)}
        else:
            found = dict(next((one for name, one in _KINDS if name in kinds), {}))
        for validator in field.validators:
            if type(validator).__name__ == "OneOf":
                found["enum"] = list(validator.choices)
        if isinstance(field.load_default, str | int | float | bool):
            found["default"] = field.load_default
        description = field.metadata.get("description")
        if description:
            found["description"] = description
        return _or_null(found) if field.allow_none else found


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also accepts null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    found = dict(schema)
    kinds = found.get("type")
    if kinds is not None:
        listed = kinds if isinstance(kinds, list) else [kinds]
        found["type"] = [*listed, *(() if "null" in listed else ("null",))]
    if "enum" in found and None not in found["enum"]:
        found["enum"] = [*found["enum"], None]
    return found


def _set(names: Any) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
