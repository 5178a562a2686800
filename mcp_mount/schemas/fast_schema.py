"""A fast first look at whether a value fits a JSON Schema.

What passes fits for sure. What does not pass may fit all the same: the `jsonschema` package, which
takes ten times as long, has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import CoreSchema, SchemaError, SchemaValidator, core_schema

_ANNOTATIONS: Final = frozenset(
    [
        *("$defs", "title", "description", "default", "examples", "deprecated", "format"),
        # OpenAPI's own, which JSON Schema does not know.
        *("readOnly", "writeOnly", "discriminator", "example", "xml", "externalDocs"),
    ]
)
"""Keywords that refuse no value."""

_LIMITS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}
_REFERENCE: Final = "#/$defs/"


class _Unsupported(Exception):
    """A keyword of which this module knows nothing."""


def fast_check(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Make a function that tells whether a JSON value fits a schema for sure.

    Args:
        schema: A JSON Schema with its `$defs`. One that this module does not know in all of its
            keywords gives a function that is never sure.
    """
    try:
        definitions = [{**_core(one), "ref": name} for name, one in schema.get("$defs", {}).items()]
        core = core_schema.definitions_schema(_core(schema), definitions)  # type: ignore[arg-type]
        return SchemaValidator(core).isinstance_python
    except (_Unsupported, SchemaError):
        return never_sure


def never_sure(value: Any) -> bool:
    """What `fast_check` makes of a schema that it does not know."""
    return False


def _core(schema: Any) -> CoreSchema:
    if schema is True:
        return core_schema.any_schema()
    if not isinstance(schema, Mapping):
        raise _Unsupported
    rules = {
        key: value
        for key, value in schema.items()
        if key not in _ANNOTATIONS and not key.startswith("x-")
    }
    if not rules:
        return core_schema.any_schema()
    if "$ref" in rules:
        return _reference(rules)
    if "anyOf" in rules:
        _only(rules, "anyOf")
        return core_schema.union_schema(list(map(_core, rules["anyOf"])), mode="left_to_right")
    if "enum" in rules or "const" in rules:
        return _literal(rules)
    kinds = rules.pop("type", None)
    if isinstance(kinds, list) and kinds:
        return core_schema.union_schema([_typed(one, rules) for one in kinds], mode="left_to_right")
    return _typed(kinds, rules)


def _typed(kind: Any, rules: Mapping[str, Any]) -> CoreSchema:
    if kind == "object":
        return _object(rules)
    if kind == "array":
        _only(rules, "items", "minItems", "maxItems")
        return core_schema.list_schema(
            _core(rules.get("items", True)), strict=True, **_limits(rules)
        )
    if kind == "string":
        _only(rules, "minLength", "maxLength", "pattern")
        pattern = rules.get("pattern")
        return core_schema.str_schema(
            strict=True, pattern=pattern, regex_engine="python-re", **_limits(rules)
        )
    if kind in ("integer", "number"):
        _only(rules, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        if kind == "integer":
            return core_schema.int_schema(strict=True, **_limits(rules))
        return core_schema.float_schema(strict=True, allow_inf_nan=False, **_limits(rules))
    _only(rules)
    if kind == "boolean":
        return core_schema.bool_schema(strict=True)
    if kind == "null":
        return core_schema.none_schema()
    raise _Unsupported


def _object(rules: Mapping[str, Any]) -> CoreSchema:
    _only(rules, "properties", "required", "additionalProperties")
    required, rest = rules.get("required", ()), rules.get("additionalProperties", True)
    properties = dict(rules.get("properties", {}))
    properties |= {name: True for name in required if name not in properties}
    fields = {
        name: core_schema.typed_dict_field(_core(one), required=name in required)
        for name, one in properties.items()
    }
    if rest is False:
        return core_schema.typed_dict_schema(fields, strict=True, extra_behavior="forbid")
    return core_schema.typed_dict_schema(
        fields, strict=True, extra_behavior="allow", extras_schema=_core(rest)
    )


def _reference(rules: Mapping[str, Any]) -> CoreSchema:
    _only(rules, "$ref")
    if not str(rules["$ref"]).startswith(_REFERENCE):
        raise _Unsupported
    return core_schema.definition_reference_schema(rules["$ref"].removeprefix(_REFERENCE))


def _literal(rules: Mapping[str, Any]) -> CoreSchema:
    """Texts only: of numbers, Python takes True for 1."""
    _only(rules, "enum", "const", "type")
    values = [rules["const"]] if "const" in rules else list(rules["enum"])
    if not values or not all(isinstance(one, str) for one in values):
        raise _Unsupported
    if rules.get("type", "string") != "string" or {"enum", "const"} <= rules.keys():
        raise _Unsupported
    return core_schema.literal_schema(values)


def _limits(rules: Mapping[str, Any]) -> dict[str, Any]:
    limits = {_LIMITS[key]: value for key, value in rules.items() if key in _LIMITS}
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in limits.values()):
        raise _Unsupported
    return limits


def _only(rules: Mapping[str, Any], *known: str) -> None:
    if rules.keys() - set(known):
        raise _Unsupported
