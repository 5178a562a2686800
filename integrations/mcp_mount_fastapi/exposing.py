"""Endpoints of a FastAPI application as tools.

Schemas come from the routes themselves; calls go through the application, in process, so that its
middleware, dependencies, authentication and validation are in force.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from mcp_mount.base import MCPServer
from mcp_mount.features.permissions import Permission
from mcp_mount.openapi.adding import Target, add_operations
from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.headers import FORWARDED, forwarded
from mcp_mount.openapi.operations import MARK, METHODS, as_mark
from mcp_mount.openapi.responses import value_of_response
from mcp_mount.protocol.occupancy import lasting
from mcp_mount.transports.calling import Response, call_application
from mcp_mount_fastapi.applications import EntryPoint, applications, routes_below
from mcp_mount_fastapi.precedence import Before

_LARGE: Final = 64 * 1024
"""A response with more bytes is read on a thread."""

_SHAPING: Final = (
    *("response_model_include", "response_model_exclude", "response_model_exclude_unset"),
    *("response_model_exclude_defaults", "response_model_exclude_none"),
)
"""Options of an endpoint that leave out members which its schema requires."""


def as_tool(name: str | None = None, description: str | None = None) -> dict[str, Any]:
    """Mark an endpoint to become a tool: `@api.get("/x", openapi_extra=as_tool("find_x"))`."""
    return {MARK: as_mark(name, description)}


def expose(
    api: FastAPI,
    server: MCPServer,
    *,
    tags: str | Collection[str] = (),
    operations: str | Collection[str] = (),
    paths: str | Collection[str] = (),
    methods: str | Collection[str] = METHODS,
    exclude: str | Collection[str] = (),
    names: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    prefix: str = "",
    forward: str | Collection[str] = FORWARDED,
    permission: Permission = None,
) -> list[str]:
    """Make tools of endpoints that `api` has now, and the FastAPI applications mounted in it.

    Calls go through `api`, or through the application that the server is mounted in, if `api` is
    mounted in that: with all middleware on the way.

    Args:
        api: The application. Those that are mounted in it are there under their prefix.
        server: What gets the tools: all of them, or none.
        tags: Endpoints with one of these tags. Without tags, operations and paths, those that are
            marked by `as_tool`.
        operations: Those with one of these operation ids, or function names.
        paths: Those with one of these paths ("/orders/*").
        methods: Of HTTP.
        exclude: Operation ids, function names or paths that stay out.
        names: Other names, by operation id or function name.
        descriptions: Other descriptions, by operation id or function name.
        prefix: Of all names.
        forward: The headers of the caller that go along.
        permission: As of a tool.

    Returns:
        The names of the tools.

    Raises:
        DefinitionError: If nothing is chosen, a word matches no endpoint, an endpoint takes a body
            that is no JSON, or a name is taken.
    """
    choice = Choice(tags, operations, paths, methods, exclude, names, descriptions, prefix)
    headers = forwarded(forward)
    return add_operations(
        server,
        [_document(app, where) for where, app in applications(api)],
        choice,
        partial(_function, api, headers),
        forward=headers,
        permission=permission,
    )


def _document(api: FastAPI, prefix: str) -> Document:
    routes = get_openapi(title="", version="", routes=api.routes)
    unshaped, unnamed = set(), set()
    wide: list[str] = []
    for where, route in routes_below(api.routes):
        if ":path}" in (path := getattr(route, "path", "")):
            # A parameter for several segments; OpenAPI's own path does not say so.
            wide.append(path)
        if not isinstance(route, APIRoute):
            continue
        for method in route.methods or ():
            operation = (where + route.path_format, method.lower())
            if not route.response_model_by_alias:
                unnamed.add(operation)
            if any(getattr(route, name, None) for name in _SHAPING):
                unshaped.add(operation)
    return Document(routes, wide, prefix=prefix, unshaped=unshaped, unnamed=unnamed)


def _function(api: FastAPI, forward: Collection[str], target: Target) -> Callable[..., Any]:
    operation = target.operation
    entry_point = EntryPoint(api)
    before = Before(api, operation)

    @lasting
    async def function(request: Request, arguments: Mapping[str, Any]) -> Any:
        own = target.arguments.request(operation, arguments)
        other = before.of(own.path)
        if other is not None:
            raise another_endpoint(operation.method, other)
        outermost, prefix = entry_point.of(request)
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
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in own.headers.items()
        ]
        path = prefix + own.path
        scope = {
            "type": "http",
            "asgi": request.scope.get("asgi", {"version": "3.0"}),
            "http_version": "1.1",
            "method": operation.method.upper(),
            "scheme": request.scope.get("scheme", "http"),
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": "",
            "query_string": urlencode(own.query).encode(),
            "headers": sent,
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
            "state": dict(request.scope.get("state", {})),
        }
        collected = ResponseBody(target.limit())
        response = await call_application(outermost, scope, own.body or b"", collected)
        if len(response.body) > _LARGE:
            # Reading and checking it would hold the event loop.
            return await run_in_threadpool(_value, target, response)
        return _value(target, response)

    function.__name__ = function.__qualname__ = operation.function
    return function


def _value(target: Target, response: Response) -> Any:
    value = value_of_response(response.status, response.headers, response.body)
    return target.output.fitting(value)
