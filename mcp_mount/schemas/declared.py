"""Arguments by a JSON Schema that the user wrote, in place of the signature's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from mcp_mount.schemas.arguments import (
    InvalidArguments,
    advice_of,
    refuse_unannotated,
    request_type_of,
    split_parameters,
    unknown_arguments,
)
from mcp_mount.schemas.bounds import TooCostly
from mcp_mount.schemas.functions import DefinitionError, describe
from mcp_mount.schemas.json_schema import JSONSchema
from mcp_mount.schemas.json_strings import read_json_strings

_COMPOSING: Final = frozenset(
    {
        "$ref",
        "$dynamicRef",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
        "patternProperties",
        "unevaluatedProperties",
    }
)
"""Keywords by which a schema may allow more members than its `properties` name."""


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
        self.context, self.request, parameters = split_parameters(function, signature)
        self.request_type = request_type_of(signature, self.request)
        self.schema: dict[str, Any] = {"type": "object", **schema}
        self.names = tuple(self.schema.get("properties", ()))
        refuse_unannotated(function, parameters, self.names)
        _check_parameters(function, parameters, self.names)
        if self.schema["type"] != "object":
            raise DefinitionError(
                f"{describe(function)}: the type of input_schema must be 'object'"
            )
        self._taken: frozenset[str] | None = None
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            self._taken = frozenset(parameter.name for parameter in parameters)
            if not _COMPOSING & self.schema.keys():
                # What the function could not take anyway.
                self.schema.setdefault("additionalProperties", False)
        elif self.schema.get("additionalProperties") is False and not _COMPOSING & schema.keys():
            self._taken = frozenset(self.names)
        self._checked = JSONSchema(function, "input_schema", self.schema, "the arguments")

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Validate arguments: see `HandlerArguments.validate`."""
        if self._taken is not None and not self._taken.issuperset(arguments):
            raise InvalidArguments(unknown_arguments(arguments, self._taken, self.names))
        problems = self._problems(arguments)
        if problems:
            read = read_json_strings(arguments, self.schema)
            if read is not arguments:
                arguments, problems = read, self._problems(read)
        if problems:
            raise InvalidArguments(advice_of(problems))
        return (), dict(arguments)

    def _problems(self, arguments: Mapping[str, Any]) -> list[str]:
        try:
            return self._checked.problems(arguments, is_bounded=True)
        except TooCostly as error:
            return [f"{error}."]


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
