"""Arguments by a JSON Schema that the user wrote, in place of the signature's.

Any vocabulary of JSON Schema 2020-12 (or of the dialect that `$schema` names) is kept as it is and
checked by the `jsonschema` package (the `schema` extra). Nothing is ever fetched for a `$ref`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mcp_mount.features.arguments import InvalidArguments, split_context
from mcp_mount.features.functions import DefinitionError, describe


class DeclaredArguments:
    """The arguments of a handler that takes what a schema says, by name.

    Raises DefinitionError for what is no schema of an object, for a `$ref` that leaves it, and for
    a function that cannot take an argument of that name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: inspect.Signature,
        schema: Mapping[str, Any],
    ) -> None:
        self.context, parameters = split_context(function, signature)
        self.schema: dict[str, Any] = {"type": "object", **schema}
        self.names = tuple(self.schema.get("properties", ()))
        _check_parameters(function, parameters, self.names)
        self._validator = _validator(function, self.schema)

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments; raise InvalidArguments if they do not fit."""
        problems = [
            f"{error.json_path.removeprefix('$').lstrip('.') or 'the arguments'}: {error.message}"
            for error in self._validator.iter_errors(arguments)
        ]
        if problems:
            raise InvalidArguments("\n".join(["Invalid arguments.", *problems]))
        return (), dict(arguments)


def _validator(function: Callable[..., Any], schema: dict[str, Any]) -> Any:
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ImportError:
        raise DefinitionError(
            f"{describe(function)}: input_schema needs the schema extra: "
            "pip install 'mcp-mount[schema]'"
        ) from None
    if schema["type"] != "object":
        raise DefinitionError(f"{describe(function)}: the type of input_schema must be 'object'")
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise DefinitionError(
                f"{describe(function)}: the $ref {reference!r} leaves input_schema, and nothing "
                "is ever fetched for one"
            )
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise DefinitionError(f"{describe(function)}: input_schema: {error.message}") from None
    return kind(schema, registry=Registry())


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


def _check_parameters(
    function: Callable[..., Any], parameters: list[inspect.Parameter], names: tuple[str, ...]
) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    missing = set(names) - {parameter.name for parameter in parameters}
    if missing:
        raise DefinitionError(
            f"{describe(function)} has no parameter for {', '.join(sorted(missing))} of "
            "input_schema; '**arguments' takes them all"
        )
