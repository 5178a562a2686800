"""The arguments of an operation, and the request that is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mcp_mount.openapi.arguments import (
    NamedArguments,
    header_value,
    in_no_path,
    path_segment,
)
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.parameters import Parameter, parameter_of, schema_of
from mcp_mount.openapi.payloads import Payload, payload_of
from mcp_mount.openapi.references import Needs, References
from mcp_mount.wire.messages import JSON

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names of arguments that the APIs of all models take."""

PLACEHOLDER: Final = re.compile(r"{([^{}:]+)(?::(\w+))?}")
"""A parameter in a path: its name, and of what kind it is, where routes say so."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request for an operation.

    Attributes:
        operation: The operation.
        path: Decoded.
        query: As pairs of a name and a value.
        headers: By their names.
        body: As bytes; None without one.
        content_type: The media type of the body.
    """

    operation: Operation
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes | None
    content_type: str = JSON


class OperationArguments:
    """The arguments of an operation, side by side: path, query, headers, and the fields of the
    body.

    A body that is not an object, or that has a field with the name of another argument, is one
    argument.

    Attributes:
        wide: The arguments of its path that may have slashes.
        forward: Headers that are no arguments, since the caller's own are forwarded.

    Raises:
        DefinitionError: If no tool can send them.
    """

    def __init__(
        self,
        operation: Operation,
        references: References,
        wide: Collection[str],
        forward: Collection[str],
    ) -> None:
        self._wide = wide
        self._parameters: dict[str, Parameter] = {}
        self._payload: Payload | None = None
        self._names = Names()
        self.needed: list[str] = []
        needs = Needs()
        always = operation.parameters_of_each_path()
        properties: dict[str, Any] = {}
        required: list[str] = []
        for parameter, described in _parameters(operation, references):
            is_header = parameter.place == "header"
            if parameter.place == "cookie" or (is_header and parameter.name.lower() in forward):
                continue
            name = self._names.add(parameter.name, parameter.place)
            self._parameters[name] = parameter
            schema = references.part(schema_of(described), needs, is_sent=True)
            text = described.get("description")
            properties[name] = {
                **(schema if isinstance(schema, dict) else {}),
                **({"description": text} if isinstance(text, str) and text else {}),
            }
            if parameter.place == "path":
                if parameter.name in always:
                    required.append(name)
                    self.needed.append(name)
            elif parameter.is_required:
                required.append(name)
        body = references.resolved(operation.described.get("requestBody"))
        if isinstance(body, Mapping) and isinstance(body.get("content"), Mapping):
            self._payload = payload_of(body, references, self._names)
        if self._payload is not None:
            properties |= self._payload.properties(references, needs)
            required += self._payload.required
        whole: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": required,
        }
        dependent = {} if self._payload is None else self._payload.dependent()
        if dependent:
            whole["dependentRequired"] = dependent
        self.schema = references.whole(whole, needs, is_sent=True)
        self._in_path = {
            parameter.name: name
            for name, parameter in self._parameters.items()
            if parameter.place == "path"
        }

    def named(self) -> NamedArguments:
        """The arguments of the tool: the endpoint validates them."""
        return NamedArguments(self.schema, self.needed)

    def request(self, operation: Operation, arguments: Mapping[str, Any]) -> Sent:
        """The request for some arguments.

        Args:
            operation: The operation.
            arguments: By their names.

        Raises:
            InvalidArguments: If one would make another path of it, or another header, or if no path
                takes them together.
        """
        query: list[tuple[str, str]] = []
        headers: dict[str, str] = {}
        for name, parameter in self._parameters.items():
            value = arguments.get(name)
            if value is None:
                continue
            if parameter.place == "query":
                query += parameter.pairs(value, name)
            elif parameter.place == "header":
                text = parameter.text(value, name)
                if text is not None:
                    headers[parameter.name.lower()] = header_value(name, text)

        def segment(match: re.Match[str]) -> str:
            name = self._in_path[match[1]]
            is_wide = match[1] in self._wide or match[2] == "path"
            text = self._parameters[name].text(arguments[name], name) or ""
            return path_segment(name, text, is_wide=is_wide)

        given = [one for one, name in self._in_path.items() if arguments.get(name) is not None]
        unsent = operation.unsent(given)
        if unsent:
            raise in_no_path(
                {
                    self._in_path[one]: [self._in_path[other] for other in sorted(needed)]
                    for one, needed in unsent.items()
                }
            )
        path = PLACEHOLDER.sub(segment, operation.path_for(given))
        if self._payload is None:
            return Sent(operation, path, query, headers, None)
        body, content_type = self._payload.body(arguments)
        return Sent(operation, path, query, headers, body, content_type)


class Names:
    """Names of arguments, each once, in letters that the APIs of models take."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, name: str, place: str) -> str:
        """The argument for what is called so in a place: "filter[name]" is `filter_name`."""
        found = plain_name(name)
        if found in self._known:
            found = f"{place}_{found}"[:64]
        number, start = 1, found
        while found in self._known:
            number += 1
            found = f"{start[:60]}_{number}"
        self._known.add(found)
        return found

    def has(self, name: str) -> bool:
        """Whether there is an argument for that name already."""
        return plain_name(name) in self._known


def plain_name(name: str) -> str:
    """A name in letters that the APIs of models take."""
    if _PLAIN.fullmatch(name):
        return name
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_")[:64] or "value"


def _parameters(
    operation: Operation, references: References
) -> Iterator[tuple[Parameter, Mapping[str, Any]]]:
    """The parameters of an operation, those of its path item overridden by its own."""
    found: dict[tuple[str, str], tuple[Parameter, Mapping[str, Any]]] = {}
    placeholders = [match[1] for match in PLACEHOLDER.finditer(operation.path)]
    given = operation.described.get("parameters")
    for one in given if isinstance(given, list) else ():
        described = references.resolved(one)
        schema = schema_of(described) if isinstance(described, Mapping) else {}
        parameter = parameter_of(described, is_object=_may_be_object(references, schema))
        if parameter.place != "path" or parameter.name in placeholders:
            found[parameter.name, parameter.place] = (parameter, described)
    missing = {name for name in placeholders if (name, "path") not in found}
    for name in dict.fromkeys(placeholders):
        if name in missing:
            # Those of the place where its application is mounted, and what the document forgets.
            described = {"name": name, "in": "path", "required": True, "schema": _TEXT}
            yield parameter_of(described), described
    yield from found.values()


def _may_be_object(references: References, schema: Any) -> bool:
    """Whether a schema says that its values may be objects: by itself, or by one of its parts."""
    found = references.resolved(schema)
    if not isinstance(found, Mapping):
        return False
    kind = found.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in found:
        return True
    parts = [
        references.resolved(one)
        for key in ("allOf", "anyOf", "oneOf")
        if isinstance(found.get(key), list)
        for one in found[key]
    ]
    return any(
        isinstance(one, Mapping) and (one.get("type") == "object" or "properties" in one)
        for one in parts
    )


_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
