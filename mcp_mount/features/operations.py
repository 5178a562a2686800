"""Operations of an OpenAPI document as tools: which ones, with what arguments, as what requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlencode

from pydantic_core import to_json

from mcp_mount.features.exposed import (
    NamedArguments,
    ResponseOutput,
    header_value,
    path_segment,
    response_limit,
    warn_of_size,
)
from mcp_mount.features.functions import DefinitionError
from mcp_mount.features.names import refuse_unknown, several_names
from mcp_mount.protocol.messages import JSON

FORWARDED: Final = (
    *("authorization", "cookie", "x-api-key", "accept-language"),
    *("traceparent", "tracestate", "x-request-id", "x-forwarded-for", "x-forwarded-proto"),
)
"""The headers of the caller that go along, unless others are named."""

_OF_THE_REQUEST: Final = frozenset(
    [
        *("accept", "connection", "content-length", "content-type", "host", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    ]
)
"""Headers that belong to the request for an endpoint, so that they are neither arguments nor go
along."""

MARK: Final = "x-mcp"
"""The member of an operation that makes it a tool."""

FUNCTION: Final = "x-mcp-function"
"""The member of an operation with the name of its function, if its id does not tell."""

ALIASES: Final = "x-mcp-aliases"
"""The member of an operation with more names that users may know it by."""

METHODS: Final = ("get", "post", "put", "patch", "delete")
FORM: Final = "application/x-www-form-urlencoded"
_HEADER: Final = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")
_PARAMETER: Final = re.compile(r"{(\w+)(?::\w+)?}")
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

    tags: str | Collection[str] = ()
    operations: str | Collection[str] = ()
    paths: str | Collection[str] = ()
    methods: str | Collection[str] = METHODS
    exclude: str | Collection[str] = ()
    names: Mapping[str, str] | None = None
    descriptions: Mapping[str, str] | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        for name in ("tags", "operations", "paths", "exclude"):
            object.__setattr__(self, name, several_names(getattr(self, name)))
        methods = [one.lower() for one in several_names(self.methods)]
        refuse_unknown("methods= names no method that a tool can have:", methods, METHODS)
        object.__setattr__(self, "methods", methods)

    def of(self, operations: Sequence[Operation]) -> list[Operation]:
        """Those of an application's operations that are chosen.

        Raises:
            DefinitionError: If there is none, and for a word that matches nothing: one that is
                misspelt would leave out, or let in, what it is not meant to.
        """
        named = [name for one in operations for name in one.names]
        paths = [one.path for one in operations]
        tags = [tag for one in operations for tag in one.tags]
        refuse_unknown("tags= matches no endpoint:", self.tags, tags)
        refuse_unknown("operations= matches no endpoint:", self.operations, named)
        for option, known in (("paths", paths), ("exclude", [*named, *paths])):
            wrong = [
                word
                for word in getattr(self, option)
                if not any(fnmatchcase(one, word) for one in paths)
                and (option == "paths" or word not in named)
            ]
            refuse_unknown(f"{option}= matches no endpoint:", wrong, known)
        chosen = [one for one in operations if self.has(one)]
        if not chosen:
            raise DefinitionError(
                "no endpoint of the application is chosen: name some with operations= or paths=, "
                "or mark them with as_tool"
            )
        known_names = [name for one in chosen for name in one.names]
        for option in ("names", "descriptions"):
            table = getattr(self, option) or {}
            refuse_unknown(f"{option}= matches no endpoint that is chosen:", table, known_names)
        return chosen

    def has(self, operation: Operation) -> bool:
        if operation.method not in self.methods or operation.is_one_of(self.exclude):
            return False
        if not self.tags and not self.operations and not self.paths:
            return MARK in operation.described
        return (
            bool(set(self.tags) & set(operation.tags))
            or bool(set(self.operations) & set(operation.names))
            or any(fnmatchcase(operation.path, pattern) for pattern in self.paths)
        )

    def options(self, operation: Operation) -> dict[str, Any]:
        """The options of the tool that an operation becomes."""
        mark = operation.described.get(MARK) or {}
        name = _first(self.names, operation.names) or mark.get("name") or operation.function
        description = _first(self.descriptions, operation.names) or mark.get("description")
        return {
            "name": self.prefix + name,
            "description": description or operation.description,
            "annotations": _annotations(operation.method),
        }


def forwarded(names: str | Collection[str]) -> list[str]:
    """The names of the headers that go along, in lower case.

    Raises:
        DefinitionError: For what is no header's name, and for headers that belong to the request
            for the endpoint itself.
    """
    lowered = [one.lower() for one in several_names(names)]
    for one in lowered:
        if not _HEADER.fullmatch(one):
            raise DefinitionError(f"forward= takes names of headers, and {one!r} is none")
        if one in _OF_THE_REQUEST:
            raise DefinitionError(f"forward=: {one!r} cannot go along, the call has its own")
    return lowered


Limit: TypeAlias = "Callable[[], int | None]"
"""How much of a response is collected, in bytes; asked at each call."""

FunctionOf: TypeAlias = "Callable[[Target], Callable[..., Any]]"
"""How a host makes the function that calls an operation."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request for an operation: its path decoded, its query as pairs, its body encoded."""

    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes | None
    content_type: str = JSON


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of an OpenAPI document.

    path: in the whole application. prefix: where the application of the document is mounted in it.
    """

    path: str
    method: str
    described: Mapping[str, Any]
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def id(self) -> str:
        return str(self.described.get("operationId", ""))

    @property
    def function(self) -> str:
        """The name of the endpoint's function, out of the id that FastAPI makes of it."""
        known = self.described.get(FUNCTION)
        if known is not None:
            return str(known)
        made = re.sub(r"\W", "_", self.path.removeprefix(self.prefix)) + "_" + self.method
        return self.id.removesuffix(made) if self.id.endswith(made) else self.id

    @property
    def names(self) -> tuple[str, ...]:
        """What users may call it: its id, its function, and what else the host knows."""
        return tuple(filter(None, (self.id, self.function, *self.described.get(ALIASES, ()))))

    @property
    def tags(self) -> Sequence[str]:
        tags: Sequence[str] = self.described.get("tags", ())
        return tags

    @property
    def description(self) -> str:
        return str(self.described.get("description") or self.described.get("summary") or "")

    def is_one_of(self, words: Collection[str]) -> bool:
        """Whether it is named by its id, its function or (a pattern of) its path."""
        return any(word in self.names or fnmatchcase(self.path, word) for word in words)


@dataclass(frozen=True, slots=True)
class Target:
    """What the function of a tool calls.

    limit: how much of a response is collected. output: how its responses become results.
    """

    operation: Operation
    arguments: OperationArguments
    limit: Limit
    output: ResponseOutput


class Server(Protocol):
    """What takes tools."""

    title: str
    registry: Any

    def add_tools(self, tools: Iterable[tuple[Callable[..., Any], Mapping[str, Any]]]) -> None: ...


def add_operations(
    server: Server,
    documents: Sequence[Document],
    choice: Choice,
    function: FunctionOf,
    *,
    forward: Collection[str],
    permission: Any,
) -> list[str]:
    """Give a server tools for the chosen operations of an application.

    Args:
        server: What gets them: all of them, or none.
        documents: What describes the application, and those that are mounted in it.
        choice: Which operations, and under what names.
        function: Makes the function that calls one.
        forward: Headers that are no arguments, since the caller's own go along.
        permission: As of a tool.

    Returns:
        The names of the tools.

    Raises:
        DefinitionError: If nothing is chosen, a word of the choice matches nothing, an operation
            cannot be called by a tool, or a name is taken.
    """
    of_document = {
        operation: document for document in documents for operation in document.operations()
    }
    made: dict[str, Operation] = {}
    tools: list[tuple[Callable[..., Any], dict[str, Any]]] = []
    outputs: list[ResponseOutput] = []
    for operation in choice.of(list(of_document)):
        document = of_document[operation]
        options = choice.options(operation)
        name = options["name"]
        if name in made:
            raise DefinitionError(
                f"{made[name]} and {operation} would both be the tool {name!r}: rename one by "
                "names=, or leave it out by exclude="
            )
        made[name] = operation
        arguments = document.arguments(operation, forward)
        output = ResponseOutput(document.output(operation), name)
        outputs.append(output)
        options |= {
            "input_schema": arguments.named(),
            "output_schema": output,
            "permission": permission,
        }
        limit = partial(response_limit, server, name)
        tools.append((function(Target(operation, arguments, limit, output)), options))
    server.add_tools(tools)
    for output in outputs:
        output.withdrawn = partial(server.registry.refresh, "tool")
    warn_of_size(server.title, len(server.registry.tools))
    return list(made)


class Document:
    """An OpenAPI document (3.x).

    wide: the paths, as routes have them, with a parameter for several segments: `{name:path}`.
    prefix: where its application is mounted in the whole one; its parameters are arguments, too.
    unshaped: operations, as (path, method), whose answers may lack what their schemas require;
    unnamed: those whose answers have other names than in their schemas.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        wide: Sequence[str] = (),
        *,
        prefix: str = "",
        unshaped: Collection[tuple[str, str]] = (),
        unnamed: Collection[tuple[str, str]] = (),
    ) -> None:
        self._document = document
        self._wide = wide
        self._prefix = prefix
        self._unshaped = unshaped
        self._unnamed = unnamed
        self.schemas: Mapping[str, Any] = document.get("components", {}).get("schemas", {})

    def operations(self) -> Iterator[Operation]:
        """All its operations."""
        for path, methods in self._document.get("paths", {}).items():
            for method in METHODS:
                if method in methods:
                    described = {**methods[method], "parameters": self._parameters(methods[method])}
                    yield Operation(self._prefix + path, method, described, self._prefix)

    def _parameters(self, described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        own = list(described.get("parameters", ()))
        known = {one.get("name") for one in own}
        return [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _PARAMETER.findall(self._prefix)
                if name not in known
            ),
            *own,
        ]

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
        return OperationArguments(
            operation, self.schemas, wide, {*FORWARDED, *forward, *_OF_THE_REQUEST}
        )

    def output(self, operation: Operation) -> dict[str, Any] | None:
        """The schema of a successful answer; None where an answer may be something else.

        A text is none: it goes as text, as that of a tool of one's own does.
        """
        where = (operation.path.removeprefix(self._prefix), operation.method)
        if where in self._unnamed:
            return None
        found: list[Mapping[str, Any]] = []
        for status, response in operation.described.get("responses", {}).items():
            if str(status).startswith("2"):
                schema = response.get("content", {}).get(JSON, {}).get("schema")
                if not schema:
                    return None
                if schema not in found:
                    found.append(schema)
        if not found:
            return None
        whole = dict(_resolved(found[0], self.schemas)) if len(found) == 1 else {"anyOf": found}
        if whole.get("type") in ("string", "null") or not whole.keys() - {"title", "description"}:
            return None
        alone = _standing_alone(whole, self.schemas)
        return _without_required(alone) if where in self._unshaped else alone


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
            return Sent(path, query, headers, urlencode(pairs).encode(), FORM)
        if self.body is not None:
            body = to_json(arguments[self.body]) if self.body in arguments else None
        else:
            body = to_json(fields) if "body" in self.places.values() else None
        return Sent(path, query, headers, body)


def _without_required(schema: Any) -> Any:
    """A schema of which any member may be missing."""
    if isinstance(schema, Mapping):
        return {
            key: _without_required(value)
            for key, value in schema.items()
            if key != "required" or not isinstance(value, list)
        }
    return [_without_required(one) for one in schema] if isinstance(schema, list) else schema


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
