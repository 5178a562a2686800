"""Endpoints of a FastAPI application as tools.

Schemas come from the routes themselves; calls go through the application, in process, so that its
middleware, dependencies, authentication and validation are in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request

from mcp_mount.base import MCPServer
from mcp_mount.features.exposed import value_of_response
from mcp_mount.features.operations import (
    FORWARDED,
    MARK,
    Choice,
    Document,
    Operation,
    OperationArguments,
    add_tools,
    as_mark,
)
from mcp_mount.features.permissions import Permission
from mcp_mount.transports.calling import call_application


def as_tool(name: str | None = None, description: str | None = None) -> dict[str, Any]:
    """Mark an endpoint to become a tool: `@api.get("/x", openapi_extra=as_tool("find_x"))`."""
    return {MARK: as_mark(name, description)}


def expose(
    api: FastAPI,
    server: MCPServer,
    *,
    forward: Sequence[str] = FORWARDED,
    permission: Permission = None,
    **choice: Any,
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
    routes = get_openapi(title="", version="", routes=api.routes)
    document = Document(routes, list(_wide_paths(api.routes)))
    names = [one.lower() for one in forward]
    tools = document.tools(Choice(**choice), partial(_function, api, names), names)
    return add_tools(server, tools, permission)


def _wide_paths(routes: Sequence[Any]) -> Iterator[str]:
    """The paths of all routes that have a parameter for several segments, `{name:path}`."""
    for route in routes:
        path = getattr(route, "path", "")
        if ":path}" in path:
            yield path
        yield from _wide_paths(getattr(getattr(route, "original_router", None), "routes", ()))


def _function(
    api: FastAPI, forward: Sequence[str], operation: Operation, whole: OperationArguments
) -> Callable[..., Any]:
    async def function(request: Request, arguments: Mapping[str, Any]) -> Any:
        own = whole.request(operation, arguments)
        sent = [(b"accept", b"application/json, */*;q=0.1")]
        if own.body is not None:
            sent += [
                (b"content-type", own.content_type.encode()),
                (b"content-length", str(len(own.body)).encode()),
            ]
        sent += [
            (name, value)
            for name, value in request.scope["headers"]
            if name.decode("latin-1") in forward or name == b"host"
        ]
        sent += [
            (name.encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in own.headers.items()
        ]
        scope = {
            "type": "http",
            "asgi": request.scope.get("asgi", {"version": "3.0"}),
            "http_version": "1.1",
            "method": operation.method.upper(),
            "scheme": request.scope.get("scheme", "http"),
            "path": own.path,
            "raw_path": quote(own.path).encode(),
            "root_path": "",
            "query_string": urlencode(own.query).encode(),
            "headers": sent,
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
            "state": dict(request.scope.get("state", {})),
        }
        response = await call_application(api, scope, own.body or b"")
        return value_of_response(response.status, response.headers, response.body)

    function.__name__ = function.__qualname__ = operation.function
    return function
