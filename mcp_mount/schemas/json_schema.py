"""JSON Schemas that the user wrote, and values checked against them.

Any vocabulary of JSON Schema 2020-12 (or of the dialect that `$schema` names) is kept as it is and
checked by the `jsonschema` package (the `schema` extra). Nothing is ever fetched for a `$ref`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from itertools import islice
from math import isfinite
from typing import Any, Final

from mcp_mount.schemas.bounds import count, counted
from mcp_mount.schemas.functions import DefinitionError, describe
from mcp_mount.wire.encoding import encode

_MAX_PROBLEMS: Final = 100


class JSONSchema:
    """A JSON Schema, ready to check values. Needs the extra `schema`.

    Args:
        function: The handler, for errors.
        member: The option that gave the schema, such as "input_schema".
        schema: The schema.
        whole: How errors call a whole value.

    Raises:
        DefinitionError: If it is not a schema, if a `$ref` leaves it, or without the extra.
    """

    def __init__(
        self, function: Callable[..., Any], member: str, schema: dict[str, Any], whole: str
    ) -> None:
        try:
            from jsonschema import Draft202012Validator, SchemaError
            from jsonschema.validators import validator_for
            from referencing import Registry
        except ImportError:
            raise DefinitionError(
                f"{describe(function)}: {member} needs the schema extra: "
                "pip install 'mcp-mount[schema]'"
            ) from None
        for reference in _references(schema):
            if not reference.startswith("#"):
                raise DefinitionError(
                    f"{describe(function)}: the $ref {reference!r} leaves {member}, and nothing "
                    "is ever fetched for one"
                )
        try:
            encode(schema)
        except ValueError as error:
            raise DefinitionError(f"{describe(function)}: {member}: {error}") from None
        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise DefinitionError(f"{describe(function)}: {member}: {error.message}") from None
        self._whole = whole
        self._validator = _counting(kind)(schema, registry=Registry())

    def problems(self, value: Any, *, is_bounded: bool = False) -> list[str]:
        """What is wrong with a JSON value, each with its place in it; nothing if it fits.

        Args:
            value: The value.
            is_bounded: Whether it is a client's, which must not take for ever.

        Raises:
            TooCostly: If it would.
        """
        with counted(value) if is_bounded else nullcontext():
            return [
                f"{error.json_path.removeprefix('$').lstrip('.') or self._whole}: {error.message}"
                for error in islice(self._validator.iter_errors(value), _MAX_PROBLEMS)
            ]


def _counting(kind: Any) -> Any:
    """A class of validators that counts how often it follows a reference: what refers to itself
    in several ways multiplies with each level of a value."""
    from jsonschema.validators import extend as extend_untyped

    extend: Any = extend_untyped

    def following(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def follow(validator: Any, reference: Any, instance: Any, schema: Any) -> Iterator[Any]:
            count()
            yield from keyword(validator, reference, instance, schema) or ()

        return follow

    return extend(
        kind,
        {
            name: following(kind.VALIDATORS[name])
            for name in ("$ref", "$dynamicRef", "$recursiveRef")
            if name in kind.VALIDATORS
        },
    )


def finite_schema(schema: Any) -> Any:
    """A schema without the members that JSON cannot carry: bounds and defaults of NaN or infinity.

    They say nothing that a client could use: what is at least minus infinity is any number.
    """
    if isinstance(schema, dict):
        return {
            key: finite_schema(member) for key, member in schema.items() if not _is_infinite(member)
        }
    if isinstance(schema, list):
        return [finite_schema(item) for item in schema]
    return schema


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not isfinite(value)


def is_open(schema: Any) -> bool:
    """Whether a schema leaves open, in some place, what a value has there."""
    if not isinstance(schema, Mapping):
        return schema is not False
    kind = schema.get("type")
    parts = [
        *(
            part
            for key in ("anyOf", "oneOf", "allOf", "prefixItems")
            for part in schema.get(key, ())
        ),
        *(part for key in ("properties", "$defs") for part in schema.get(key, {}).values()),
        *(schema[key] for key in ("items", "additionalProperties") if key in schema),
    ]
    if kind is None and not parts:
        return not {"$ref", "const", "enum"} & schema.keys()
    return (kind in ("array", "object") and not parts) or any(map(is_open, parts))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str):
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)
