"""Endpoints of a FastAPI application as tools.

Schemas come from the routes. Calls go through the application, in process, so its middleware,
dependencies, authentication and validation apply.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from starlette.requests import Request
from typing_extensions import Unpack

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.adding import Exposed, add_operations, refuse_unknown_policies
from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.headers import FORWARDED, forwarded
from mcp_mount.openapi.operations import MARK, METHODS, Operation, as_mark
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer
from mcp_mount.openapi.targets import Send, calling
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.names import several_names
from mcp_mount.transports.calling import call_application
from mcp_mount_fastapi.applications import EntryPoint, applications
from mcp_mount_fastapi.documents import document_of
from mcp_mount_fastapi.precedence import Before


def as_tool(name: str | None = None, description: str | None = None) -> dict[str, Any]:
    """Mark an endpoint as a tool: `@api.get("/x", openapi_extra=as_tool("find_x"))`.

    Args:
        name: The name of the tool.
        description: The description of the tool.

    Returns:
        The value for `openapi_extra=` of the endpoint.
    """
    return {MARK: as_mark(name, description)}


def expose(
    api: FastAPI,
    server: HandlerDecorators,
    *,
    tags: str | Collection[str] = (),
    operations: str | Collection[str] = (),
    paths: str | Collection[str] = (),
    methods: str | Collection[str] = METHODS,
    exclude: str | Collection[str] = (),
    exclude_tags: str | Collection[str] = (),
    names: Mapping[str, str] | None = None,
    name: Callable[[Operation], str | None] | None = None,
    descriptions: Mapping[str, str] | None = None,
    prefix: str = "",
    forward: str | Collection[str] = FORWARDED,
    login: str | Collection[str] = (),
    output_schemas: bool | None = None,
    **policies: Unpack[PolicyOptions],
) -> Exposed:
    """Make tools of the endpoints that `api`, and FastAPI applications mounted in it, have now.

    Calls go through `api`, or through the application that the server is mounted in if `api` is
    mounted in that, with all middleware on the way.

    Args:
        api: The application. Endpoints of applications mounted in it have their prefix.
        server: The server or ToolsRouter that gets the tools: all of them, or none.
        tags: Expose the endpoints with one of these tags. Without `tags`, `operations` and `paths`,
            those that are marked with `as_tool` are exposed.
        operations: Expose the endpoints with these operation ids or function names.
        paths: Expose the endpoints with these paths ("/orders/*").
        methods: Expose only these HTTP methods.
        exclude: Operation ids, function names or paths to leave out.
        exclude_tags: Tags to leave out.
        names: Names of tools, by operation id or function name.
        name: A function of an `Operation` (path, method, id, tags) that returns the name of its
            tool, or None for the default. `names` takes precedence.
        descriptions: Descriptions of tools, by operation id or function name.
        prefix: A prefix for all names.
        forward: The headers of the caller to forward.
        login: Paths that unauthenticated callers are redirected to. Those that end in "login" and
            similar are known.
        output_schemas: Whether to publish the response schemas of the routes: by default those that
            FastAPI enforces with a response model; True for all, False for none.
        policies: Policies of each of these tools (`permission`, `scopes`, `throttle`, `timeout`, …,
            see `PolicyOptions`). A `check` takes arguments of the endpoint by their names.

    Returns:
        The names of the tools, and the matching endpoints that cannot be tools, with reasons.

    Raises:
        DefinitionError: If nothing is selected, a value matches no endpoint, an endpoint named in
            `operations` cannot be a tool, or a name is taken.
    """
    refuse_unknown_policies(expose, policies)
    if not isinstance(server, HandlerDecorators):
        raise DefinitionError(
            "expose takes the application first, then a server or a router: "
            f"expose(api, server), not {type(server).__name__}"
        )
    choice = Choice(
        tags=tags,
        operations=operations,
        paths=paths,
        methods=methods,
        exclude=exclude,
        exclude_tags=exclude_tags,
        names=names,
        name=name,
        descriptions=descriptions,
        prefix=prefix,
    )
    headers = forwarded(forward)
    known = tuple(several_names(login))
    return add_operations(
        server,
        [document_of(app, where) for where, app in applications(api)],
        choice,
        calling(_sending(api, headers)),
        forward=headers,
        policies=policies,
        output_schemas=output_schemas,
        login=lambda: known,
    )


def _sending(api: FastAPI, forward: Collection[str]) -> Send:
    """Return the function that sends a request to an endpoint of an application."""
    entry_point = EntryPoint(api)
    known: dict[Operation, Before] = {}

    async def send(request: Request, own: Sent, collected: ResponseBody) -> Answer:
        operation = own.operation
        before = known.get(operation)
        if before is None:
            before = known[operation] = Before(api, operation)
        other = before.of(own.path)
        if other is not None:
            raise another_endpoint(operation.method, other)
        outermost, root, prefix = entry_point.of(request)
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
        if request.scope["path"].startswith(f"{root}/"):
            # The full path, as web servers pass it (ASGI 3.0, "path"); some proxies strip the root
            # path.
            path = root + path
        scope = {
            "type": "http",
            "asgi": request.scope.get("asgi", {"version": "3.0"}),
            "http_version": "1.1",
            "method": operation.method.upper(),
            "scheme": request.scope.get("scheme", "http"),
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": root,
            "query_string": urlencode(own.query).encode(),
            "headers": sent,
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
            "state": dict(request.scope.get("state", {})),
        }
        response = await call_application(outermost, scope, own.body or b"", collected)
        return Answer(response.status, response.headers, response.body)

    return send
