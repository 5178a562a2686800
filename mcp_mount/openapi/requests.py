"""The arguments of an operation, and the request that is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from pydantic_core import to_json

from mcp_mount.features.functions import DefinitionError
from mcp_mount.openapi.arguments import NamedArguments, header_value, path_segment
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.references import resolved, standing_alone
from mcp_mount.protocol.messages import JSON

FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request for an operation: its path decoded, its query as pairs, its body encoded."""

    operation: Operation
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes | None
    content_type: str = JSON


class OperationArguments:
    """The arguments of an operation, side by side: path, query, headers, and the body's fields.

    A body that is no object, or has a field of the name of another argument, is one argument.
    wide: the arguments of its path that may have slashes. forward: headers that are no arguments,
    since the caller's own go along.
    """

    def __init__(
        self,
        operation: Operation,
        schemas: Mapping[str, Any],
        wide: Collection[str],
        forward: Collection[str],
    ) -> None:
        self._wide = wide
        self._content_type = JSON
        self.places: dict[str, str] = {}
        self.body: str | None = None
        self.needed: list[str] = []
        properties: dict[str, Any] = {}
        required: list[str] = []
        for one in operation.described.get("parameters", ()):
            name, place = one["name"], one["in"]
            if place == "cookie" or (place == "header" and name.lower() in forward):
                continue
            self.places[name] = place
            text = {"description": one["description"]} if "description" in one else {}
            properties[name] = {**one.get("schema", {}), **text}
            if one.get("required"):
                required.append(name)
            if place == "path":
                self.needed.append(name)
        body = operation.described.get("requestBody")
        if body is not None:
            self._content_type, schema = _body_schema(operation, body)
            fields = resolved(schema, schemas)
            names = fields.get("properties", {})
            if fields.get("type") == "object" and names and not names.keys() & properties.keys():
                self.places |= dict.fromkeys(names, "body")
                properties |= names
                required += fields.get("required", ())
            else:
                self.body = "body" if "body" not in properties else "request_body"
                properties[self.body] = schema
                if body.get("required"):
                    required.append(self.body)
        self.schema = standing_alone(
            {"type": "object", "properties": properties, "required": required}, schemas
        )

    def named(self) -> NamedArguments:
        """The arguments of the tool: the endpoint validates them."""
        return NamedArguments(self.schema, self.needed)

    def request(self, operation: Operation, arguments: Mapping[str, Any]) -> Sent:
        """The request for some arguments.

        Raises InvalidArguments for one that would make another path of it, or another header.
        """
        query: list[tuple[str, str]] = []
        headers: dict[str, str] = {}
        places: dict[str, str] = {}
        fields: dict[str, Any] = {}
        for name, value in arguments.items():
            place = self.places.get(name)
            if place == "path":
                places[name] = path_segment(name, _plain(value), is_wide=name in self._wide)
            elif place == "query":
                query += [(name, one) for one in _texts(value)]
            elif place == "header" and value is not None:
                headers[name.lower()] = header_value(name, _plain(value))
            elif place == "body":
                fields[name] = value
        path = re.sub(r"{([^{}]+)}", lambda match: places[match[1]], operation.path)
        if self._content_type == FORM:
            pairs = [(name, one) for name, value in fields.items() for one in _texts(value)]
            return Sent(operation, path, query, headers, urlencode(pairs).encode(), FORM)
        if self.body is not None:
            body = to_json(arguments[self.body]) if self.body in arguments else None
        else:
            body = to_json(fields) if "body" in self.places.values() else None
        return Sent(operation, path, query, headers, body)


def _body_schema(operation: Operation, body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The media type and the schema of a body. Raises DefinitionError for others than we send."""
    content = body.get("content", {})
    for kind in (JSON, FORM):
        if kind in content:
            return kind, content[kind].get("schema", {})
    raise DefinitionError(
        f"{operation.method.upper()} {operation.path} takes {', '.join(content)}, which a tool "
        "cannot send: leave it out by exclude="
    )


def _texts(value: Any) -> list[str]:
    """A value as the texts of a query or a form: None as none, a list as several."""
    if value is None:
        return []
    return [_plain(one) for one in value] if isinstance(value, list) else [_plain(value)]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else to_json(value).decode()
