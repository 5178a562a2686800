"""JSON Schemas that the user wrote, and values checked against them.

Any vocabulary of JSON Schema 2020-12 (or of the dialect that `$schema` names) is kept as it is and
checked by the `jsonschema` package (the `schema` extra). Nothing is ever fetched for a `$ref`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mcp_mount.features.functions import DefinitionError, describe


class JSONSchema:
    """A schema, ready to check values.

    member: how the user knows it ("input_schema"). whole: what a whole value is called. Raises
    DefinitionError for what is no schema, for a `$ref` that leaves it, and without the `schema`
    extra.
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
        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise DefinitionError(f"{describe(function)}: {member}: {error.message}") from None
        self._whole = whole
        self._validator = kind(schema, registry=Registry())

    def problems(self, value: Any) -> list[str]:
        """What is wrong with a JSON value, each with its place in it; nothing if it fits."""
        return [
            f"{error.json_path.removeprefix('$').lstrip('.') or self._whole}: {error.message}"
            for error in self._validator.iter_errors(value)
        ]


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
