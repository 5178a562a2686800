"""Operations of an OpenAPI document as tools: which ones, with what arguments, as what requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlencode

from pydantic_core import to_json

from mcp_mount.features.exposed import NamedArguments, warn_of_size
from mcp_mount.features.functions import DefinitionError
from mcp_mount.protocol.errors import ToolError
from mcp_mount.protocol.messages import JSON

FORWARDED: Final = (
    *("authorization", "cookie", "x-api-key", "accept-language"),
    *("traceparent", "tracestate", "x-request-id", "x-forwarded-for", "x-forwarded-proto"),
)
"""The headers of the caller that go along, unless others are named."""

MARK: Final = "x-mcp"
"""The member of an operation that makes it a tool."""

FUNCTION: Final = "x-mcp-function"
"""The member of an operation with the name of its function, if its id does not tell."""

METHODS: Final = ("get", "post", "put", "patch", "delete")
FORM: Final = "application/x-www-form-urlencoded"
_REFERENCE: Final = "#/components/schemas/"


def as_mark(name: str | None = None, description: str | None = None) -> dict[str, str]:
    """What stands under `MARK`: what the tool is called, and how it is described."""
    mark = {"name": name, "description": description}
    return {key: value for key, value in mark.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which operations become tools, and what they are called.

    tags, operations, paths: those with one of these tags, operation ids (or function names), or
    paths ("/orders/*"); without any of them, those that are marked. methods: of HTTP. exclude:
    operation ids, function names or paths that stay out. names, descriptions: others, by operation
    id or function name. prefix: of all names.
    """

    tags: Collection[str] = ()
    operations: Collection[str] = ()
    paths: Collection[str] = ()
    methods: Collection[str] = METHODS
    exclude: Collection[str] = ()
    names: Mapping[str, str] | None = None
    descriptions: Mapping[str, str] | None = None
    prefix: str = ""

    def has(self, operation: Operation) -> bool:
        if operation.method not in self.methods or operation.is_one_of(self.exclude):
            return False
        if not self.tags and not self.operations and not self.paths:
            return MARK in operation.described
        return (
            bool(set(self.tags) & set(operation.described.get("tags", ())))
            or operation.id in self.operations
            or operation.function in self.operations
            or any(fnmatchcase(operation.path, pattern) for pattern in self.paths)
        )

    def options(self, operation: Operation) -> dict[str, Any]:
        """The options of the tool that an operation becomes."""
        keys = (operation.id, operation.function)
        mark = operation.described.get(MARK) or {}
        name = _first(self.names, keys) or mark.get("name") or operation.function
        description = _first(self.descriptions, keys) or mark.get("description")
        return {
            "name": self.prefix + name,
            "description": description or operation.description,
            "annotations": _annotations(operation.method),
        }


FunctionOf: TypeAlias = "Callable[[Operation, OperationArguments], Callable[..., Any]]"
"""How a host makes the function that calls an operation."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request for an operation: its path decoded, its query as pairs, its body encoded."""

    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes | None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an OpenAPI document."""

    path: str
    method: str
    described: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.described.get("operationId", ""))

    @property
    def function(self) -> str:
        """The name of the endpoint's function, out of the id that FastAPI makes of it."""
        known = self.described.get(FUNCTION)
        if known is not None:
            return str(known)
        made = re.sub(r"\W", "_", self.path) + "_" + self.method
        return self.id.removesuffix(made) if self.id.endswith(made) else self.id

    @property
    def description(self) -> str:
        return str(self.described.get("description") or self.described.get("summary") or "")

    def is_one_of(self, words: Collection[str]) -> bool:
        """Whether it is named by its id, its function or (a pattern of) its path."""
        return any(
            word in (self.id, self.function) or fnmatchcase(self.path, word) for word in words
        )


class Server(Protocol):
    """What takes tools."""

    title: str
    registry: Any

    def add_tool(self, function: Callable[..., Any], **options: Any) -> None: ...


def add_tools(
    server: Server, tools: Iterable[tuple[Callable[..., Any], dict[str, Any]]], permission: Any
) -> list[str]:
    """Give a server the tools of a document; their names."""
    names: list[str] = []
    for function, options in tools:
        server.add_tool(function, permission=permission, **options)
        names.append(options["name"])
    warn_of_size(server.title, len(server.registry.tools))
    return names


class Document:
    """An OpenAPI document (3.x). wide: the paths, as routes have them, with a parameter for several
    segments: `{name:path}`."""

    def __init__(self, document: Mapping[str, Any], wide: Sequence[str] = ()) -> None:
        self._document = document
        self._wide = wide
        self.schemas: Mapping[str, Any] = document.get("components", {}).get("schemas", {})

    def operations(self, choice: Choice) -> Iterator[Operation]:
        """The operations that are chosen. Raises DefinitionError if there is none."""
        found = False
        for path, methods in self._document.get("paths", {}).items():
            for method in METHODS:
                if method in methods and choice.has(
                    one := Operation(path, method, methods[method])
                ):
                    found = True
                    yield one
        if not found:
            raise DefinitionError("no endpoint of the application is chosen: see tags=, as_tool")

    def tools(
        self, choice: Choice, function: FunctionOf, forward: Collection[str]
    ) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
        """The functions that call the chosen operations, each with the options of its tool."""
        for operation in self.operations(choice):
            arguments = self.arguments(operation, forward)
            yield (
                function(operation, arguments),
                {
                    **choice.options(operation),
                    "input_schema": arguments.named(),
                    "output_schema": self.output(operation),
                },
            )

    def arguments(self, operation: Operation, forward: Collection[str]) -> OperationArguments:
        """The arguments of an operation; the headers that go along anyway are none.

        Raises DefinitionError for a body that a tool cannot send.
        """
        wide = {
            name
            for path in self._wide
            if operation.path.endswith(path.replace(":path}", "}"))
            for name in re.findall(r"{(\w+):path}", path)
        }
        return OperationArguments(operation, self.schemas, wide, {*FORWARDED, *forward})

    def output(self, operation: Operation) -> Any:
        """The schema of a successful answer, if it is an object's; False for none."""
        for status, response in operation.described.get("responses", {}).items():
            if not str(status).startswith("2"):
                continue
            schema = response.get("content", {}).get("application/json", {}).get("schema") or {}
            whole = _resolved(schema, self.schemas)
            return _standing_alone(whole, self.schemas) if whole.get("type") == "object" else False
        return False


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
            fields = _resolved(schema, schemas)
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
        self.schema = _standing_alone(
            {"type": "object", "properties": properties, "required": required}, schemas
        )

    def named(self) -> NamedArguments:
        """The arguments of the tool: the endpoint validates them."""
        return NamedArguments(self.schema, self.needed)

    def request(self, operation: Operation, arguments: Mapping[str, Any]) -> Sent:
        """The request for some arguments.

        Raises ToolError for an argument that would make another path of it.
        """
        query: list[tuple[str, str]] = []
        headers: dict[str, str] = {}
        places: dict[str, str] = {}
        fields: dict[str, Any] = {}
        for name, value in arguments.items():
            place = self.places.get(name)
            if place == "path":
                text = _plain(value)
                if name not in self._wide and ("/" in text or not text):
                    # It would be another endpoint's path.
                    raise ToolError(f"{name}: must be one segment of a path, without '/'")
                places[name] = text
            elif place == "query":
                query += [(name, one) for one in _texts(value)]
            elif place == "header" and value is not None:
                headers[name.lower()] = _plain(value)
            elif place == "body":
                fields[name] = value
        path = re.sub(r"{([^{}]+)}", lambda match: places[match[1]], operation.path)
        if self._content_type == FORM:
            pairs = [(name, one) for name, value in fields.items() for one in _texts(value)]
            return Sent(path, query, headers, urlencode(pairs).encode(), FORM)
        if self.body is not None:
            body = to_json(arguments[self.body]) if self.body in arguments else None
        else:
            body = to_json(fields) if "body" in self.places.values() else None
        return Sent(path, query, headers, body)


def _annotations(method: str) -> dict[str, bool]:
    """The hints that an HTTP method gives (RFC 9110, section 9.2)."""
    if method == "get":
        return {"readOnlyHint": True}
    return {
        "readOnlyHint": False,
        "destructiveHint": method != "post",
        "idempotentHint": method in ("put", "delete"),
    }


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


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = (
        schemas[reference.removeprefix(_REFERENCE)] if reference.startswith(_REFERENCE) else schema
    )
    return found


def _standing_alone(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with all that it refers to in its `$defs`."""
    definitions: dict[str, Any] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            reference = value.get("$ref")
            if isinstance(reference, str) and reference.startswith(_REFERENCE):
                name = reference.removeprefix(_REFERENCE)
                if name not in definitions:
                    definitions[name] = None
                    definitions[name] = moved(schemas[name])
                return {
                    **moved({k: v for k, v in value.items() if k != "$ref"}),
                    "$ref": f"#/$defs/{name}",
                }
            return {key: moved(item) for key, item in value.items()}
        return [moved(item) for item in value] if isinstance(value, list) else value

    whole: dict[str, Any] = moved(dict(schema))
    return {**whole, "$defs": definitions} if definitions else whole


def _texts(value: Any) -> list[str]:
    """A value as the texts of a query or a form: None as none, a list as several."""
    if value is None:
        return []
    return [_plain(one) for one in value] if isinstance(value, list) else [_plain(value)]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else to_json(value).decode()


def _first(table: Mapping[str, str] | None, keys: Sequence[str]) -> str | None:
    return next((table[key] for key in keys if key in table), None) if table else None
