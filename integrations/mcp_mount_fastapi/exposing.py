"""Endpoints of a FastAPI application as tools.

Schemas come from the routes themselves; calls go through the application, in process, so that its
middleware, dependencies, authentication and validation are in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic_core import to_json
from starlette.requests import Request

from mcp_mount.base import MCPServer
from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.features.exposed import NamedArguments, value_of_response, warn_of_size
from mcp_mount.features.permissions import Permission
from mcp_mount.transports.calling import call_application

FORWARDED: Final = (
    *("authorization", "cookie", "x-api-key", "accept-language"),
    *("traceparent", "tracestate", "x-request-id", "x-forwarded-for", "x-forwarded-proto"),
)
"""The headers of the caller that go along, unless others are named."""

_MARK: Final = "x-mcp"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_REFERENCE: Final = "#/components/schemas/"


def as_tool(name: str | None = None, description: str | None = None) -> dict[str, Any]:
    """Mark an endpoint to become a tool: `@api.get("/x", openapi_extra=as_tool("find_x"))`."""
    mark = {"name": name, "description": description}
    return {_MARK: {key: value for key, value in mark.items() if value is not None}}


def expose(
    api: FastAPI,
    server: MCPServer,
    *,
    tags: Collection[str] = (),
    operations: Collection[str] = (),
    paths: Collection[str] = (),
    methods: Collection[str] = _METHODS,
    exclude: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    prefix: str = "",
    forward: Sequence[str] = FORWARDED,
    permission: Permission = None,
) -> list[str]:
    """Make tools of endpoints that `api` has now; their names.

    tags, operations, paths: those with one of these tags, operation ids (or function names), or
    paths ("/orders/*"); without any of them, those that are marked by `as_tool`. methods: of HTTP.
    exclude: operation ids, function names or paths that stay out. names, descriptions: others, by
    operation id or function name. prefix: of all names. forward: the headers of the caller that go
    along. permission: as of a tool.

    Raises DefinitionError if nothing is found, for a body that is no JSON, and for names that are
    taken.
    """
    document = get_openapi(title="", version="", routes=api.routes)
    schemas = document.get("components", {}).get("schemas", {})
    wide = list(_wide_paths(api.routes))
    chosen = {"tags": tags, "operations": operations, "paths": paths}
    exposed: list[str] = []
    for operation in _operations(document):
        keys = (operation.id, operation.function)
        if operation.method not in methods or operation.is_one_of(exclude):
            continue
        if not operation.is_chosen(**chosen):
            continue
        mark = operation.described.get(_MARK) or {}
        name = _first(names, keys) or mark.get("name") or operation.function
        description = _first(descriptions, keys) or mark.get("description")
        arguments = _Arguments(operation, schemas, _wide(operation, wide))
        server.add_tool(
            _function(api, operation, arguments, [one.lower() for one in forward]),
            name=prefix + name,
            description=description or operation.description,
            annotations=_annotations(operation.method),
            input_schema=NamedArguments(arguments.schema, arguments.needed),
            output_schema=_output(operation, schemas),
            permission=permission,
        )
        exposed.append(prefix + name)
    if not exposed:
        raise DefinitionError("no endpoint of the application is chosen: see tags=, as_tool")
    warn_of_size(server.title, len(server.registry.tools))
    return exposed


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

    def is_chosen(
        self, tags: Collection[str], operations: Collection[str], paths: Collection[str]
    ) -> bool:
        if not tags and not operations and not paths:
            return _MARK in self.described
        return (
            bool(set(tags) & set(self.described.get("tags", ())))
            or self.id in operations
            or self.function in operations
            or any(fnmatchcase(self.path, pattern) for pattern in paths)
        )


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document.get("paths", {}).items():
        for method in _METHODS:
            if method in methods:
                yield Operation(path, method, methods[method])


class _Arguments:
    """The arguments of an operation, side by side: path, query, headers, and the body's fields.

    A body that is no object, or has a field of the name of another argument, is one argument.
    wide: the arguments of its path that may have slashes.
    """

    def __init__(
        self, operation: Operation, schemas: Mapping[str, Any], wide: Collection[str]
    ) -> None:
        self._wide = wide
        self.places: dict[str, str] = {}
        self.body: str | None = None
        self.needed: list[str] = []
        properties: dict[str, Any] = {}
        required: list[str] = []
        for one in operation.described.get("parameters", ()):
            name, place = one["name"], one["in"]
            if place == "cookie" or (place == "header" and name.lower() in FORWARDED):
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
            schema = _json_schema(operation, body)
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

    def request(
        self, operation: Operation, arguments: Mapping[str, Any]
    ) -> tuple[str, list[tuple[str, Any]], dict[str, str], bytes | None]:
        """Path, query, headers and body for some arguments."""
        path, query, headers = operation.path, [], {}
        fields: dict[str, Any] = {}
        for name, value in arguments.items():
            place = self.places.get(name)
            if place == "path":
                text = _plain(value)
                if name not in self._wide and ("/" in text or not text):
                    # It would be another endpoint's path.
                    raise ToolError(f"{name}: must be one segment of a path, without '/'")
                path = path.replace(f"{{{name}}}", text)
            elif place == "query" and value is not None:
                query += (
                    [(name, _plain(one)) for one in value]
                    if isinstance(value, list)
                    else [(name, _plain(value))]
                )
            elif place == "header" and value is not None:
                headers[name.lower()] = _plain(value)
            elif place == "body":
                fields[name] = value
        if self.body is not None:
            body = to_json(arguments[self.body]) if self.body in arguments else None
        else:
            body = to_json(fields) if "body" in self.places.values() else None
        return path, query, headers, body


def _wide_paths(routes: Sequence[Any]) -> Iterator[str]:
    """The paths of all routes that have a parameter for several segments, `{name:path}`."""
    for route in routes:
        path = getattr(route, "path", "")
        if ":path}" in path:
            yield path
        yield from _wide_paths(getattr(getattr(route, "original_router", None), "routes", ()))


def _wide(operation: Operation, paths: Sequence[str]) -> set[str]:
    """The parameters of an operation's path that may have slashes."""
    return {
        name
        for path in paths
        if operation.path.endswith(path.replace(":path}", "}"))
        for name in re.findall(r"{(\w+):path}", path)
    }


def _function(
    api: FastAPI, operation: Operation, arguments_: _Arguments, forward: Sequence[str]
) -> Callable[..., Any]:
    async def function(request: Request, arguments: Mapping[str, Any]) -> Any:
        path, query, headers, body = arguments_.request(operation, arguments)
        sent = [(b"accept", b"application/json, */*;q=0.1")]
        if body is not None:
            sent += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
        sent += [
            (name, value)
            for name, value in request.scope["headers"]
            if name.decode("latin-1") in forward or name == b"host"
        ]
        sent += [
            (name.encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in headers.items()
        ]
        scope = {
            "type": "http",
            "asgi": request.scope.get("asgi", {"version": "3.0"}),
            "http_version": "1.1",
            "method": operation.method.upper(),
            "scheme": request.scope.get("scheme", "http"),
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": sent,
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
            "state": dict(request.scope.get("state", {})),
        }
        response = await call_application(api, scope, body or b"")
        return value_of_response(response.status, response.headers, response.body)

    function.__name__ = function.__qualname__ = operation.function
    return function


def _annotations(method: str) -> dict[str, bool]:
    """The hints that an HTTP method gives (RFC 9110, section 9.2)."""
    if method == "get":
        return {"readOnlyHint": True}
    return {
        "readOnlyHint": False,
        "destructiveHint": method != "post",
        "idempotentHint": method in ("put", "delete"),
    }


def _json_schema(operation: Operation, body: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = body.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        kinds = ", ".join(body.get("content", ()))
        raise DefinitionError(
            f"{operation.method.upper()} {operation.path} takes {kinds}, which a tool cannot send: "
            "leave it out by exclude="
        )
    found: Mapping[str, Any] = schema
    return found


def _output(operation: Operation, schemas: Mapping[str, Any]) -> Any:
    """The schema of a successful answer, if it is an object's; False for none."""
    for status, response in operation.described.get("responses", {}).items():
        if not status.startswith("2"):
            continue
        schema = response.get("content", {}).get("application/json", {}).get("schema") or {}
        if _resolved(schema, schemas).get("type") == "object":
            return _standing_alone(_resolved(schema, schemas), schemas)
        return False
    return False


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


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else to_json(value).decode()


def _first(table: Mapping[str, str] | None, keys: Sequence[str]) -> str | None:
    return next((table[key] for key in keys if key in table), None) if table else None
