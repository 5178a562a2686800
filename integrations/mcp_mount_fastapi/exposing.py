"""Endpoints of a FastAPI application as tools.

Schemas come from the routes. Calls go through the application, in process, so its middleware,
dependencies, authentication and validation apply.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from starlette.requests import Request
from typing_extensions import Unpack

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.adding import Exposed, add_operations
from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.headers import FORWARDED, forwarded
from mcp_mount.openapi.marking import as_tool
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.options import (
    ExposeOptions,
    choice_in,
    policies_in,
    refuse_unfit_exposing,
)
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer
from mcp_mount.openapi.targets import Send, calling
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.names import several_names
from mcp_mount.transports.calling import call_application
from mcp_mount_fastapi.applications import EntryPoint, applications
from mcp_mount_fastapi.documents import document_of
from mcp_mount_fastapi.precedence import Before

__all__ = ["as_tool", "expose"]


def expose(
    api: FastAPI,
    server: HandlerDecorators,
    *,
    forward: str | Collection[str] = FORWARDED,
    login: str | Collection[str] = (),
    **options: Unpack[ExposeOptions],
) -> Exposed:
    """Make tools of the endpoints that `api`, and FastAPI applications mounted in it, have now.

    Calls go through `api`, or through the application that the server is mounted in if `api` is
    mounted in that, with all middleware on the way.

    Args:
        api: The application. Endpoints of applications mounted in it have their prefix.
        server: The server or ToolsRouter that gets the tools: all of them, or none.
        forward: The headers of the caller to forward.
        login: Paths that unauthenticated callers are redirected to. Those that end in "login" and
            similar are known.
        options: Which endpoints to expose, and the policies of their tools. A `check` takes
            arguments of the endpoint by their names. `output_schemas` is True by default for the
            endpoints whose response model FastAPI enforces.

    Returns:
        The names of the tools, and the matching endpoints that cannot be tools, with reasons.

    Raises:
        DefinitionError: If nothing is selected, a value matches no endpoint, an endpoint named in
            `operations` cannot be a tool, or a name is taken.
    """
    refuse_unfit_exposing(expose, options)
    if not isinstance(server, HandlerDecorators):
        raise DefinitionError(
            "expose takes the application first, then a server or a router: "
            f"expose(api, server), not {type(server).__name__}"
        )
    choice = choice_in(options)
    headers = forwarded(forward)
    known = tuple(several_names("login=", login))
    return add_operations(
        server,
        [document_of(app, where) for where, app in applications(api)],
        choice,
        calling(_sending(api, headers)),
        forward=headers,
        policies=policies_in(options),
        output_schemas=options.get("output_schemas"),
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
