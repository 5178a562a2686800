"""Inside Flask: an extension that serves the server as routes of the application."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Flask, Response, current_app, request
from flask import Request as FlaskRequest
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.wrappers import Response as BaseResponse

from mcp_mount.base import MCPServer, server_options
from mcp_mount.features import DefinitionError
from mcp_mount.features.arguments import request_types
from mcp_mount.features.names import refuse_unknown, refuse_unknown_options
from mcp_mount.options import OPTIONS
from mcp_mount.protocol import ProtocolError, Reply
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.exchange import refusal
from mcp_mount.protocol.resource_metadata import WELL_KNOWN, metadata_reply
from mcp_mount.protocol.sse import HEADERS
from mcp_mount.routes.router import Registers
from mcp_mount.transports.paths import clean_prefix
from mcp_mount.transports.resuming import UntilGoodbye
from mcp_mount.transports.wsgi import (
    EventStream,
    IncompleteBody,
    is_multithread,
    read_headers,
    server_of,
    whole_body,
)
from mcp_mount_flask.commands import add_commands
from mcp_mount_flask.contexts import keep_environ, within_request
from mcp_mount_flask.host import current_caller, current_role, has_own_gate, host_of
from mcp_mount_flask.mounts import add_mount, tell_of_unmatched

request_types.append(FlaskRequest)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class MCPMount(Registers):
    """The Flask extension: `mcp = MCPMount(app, "/mcp")`, or `MCPMount()` and `init_app` later.

    `@mcp.tool`, `@mcp.prompt` and the like register on `mcp.server`, an MCPServer of its own
    unless one is given. Each request to it is a request of the application: its before_request
    functions and error handlers are in force, plain tools run in its request context.
    """

    def __init__(
        self,
        app: Flask | None = None,
        path: str = "/mcp",
        server: MCPServer | None = None,
        **options: Any,
    ) -> None:
        if server is not None and options:
            raise TypeError("give either a server or the options for one")
        if isinstance(app, str):
            raise TypeError("the application comes first: MCPMount(app, path)")
        refuse_unknown_options(self, options, also=server_options())
        self.path = clean_prefix(path)
        self.server = server or MCPServer(
            **({"name": app.name if app is not None else "flask"} | options)
        )
        self.registry = self.server.registry
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount the server in an application. State goes to `app.extensions["mcp_mount"]`.

        Configuration that begins with MCP_ (MCP_NAME, MCP_INSTRUCTIONS, …) sets what the arguments
        of MCPServer set. Raises DefinitionError for a key that means nothing, and for a path at
        which the application has a server already.
        """
        if self.path in app.extensions.get("mcp_mount", {}):
            raise DefinitionError(
                f"the application has a server at {self.path!r} already: give another path"
            )
        given = app.config.get_namespace("MCP_")
        known = [f"MCP_{option.key}" for option in OPTIONS.values()]
        keys = [f"MCP_{name.upper()}" for name in given]
        refuse_unknown("the Flask configuration: MCPMount has no key", keys, known)
        self.server.configure(**given)
        host = replace(
            host_of(app),
            serves_metadata=lambda path: path == self.path,
            guards=lambda: has_own_gate(app),
            request_type=FlaskRequest,
        )
        self.server.attach(host)
        add_mount(app, self.path, self)
        add_commands(app)
        endpoint = "mcp_mount" + self.path.replace("/", "_").replace(".", "_")
        for rule in (self.path, f"{self.path}/", f"{self.path}/<path:rest>"):
            app.add_url_rule(
                rule,
                endpoint=endpoint,
                view_func=self._view,
                methods=_METHODS,
                provide_automatic_options=False,
                strict_slashes=True,
            )

        app.add_url_rule(
            WELL_KNOWN + self.path,
            endpoint=f"{endpoint}_metadata",
            view_func=self._metadata,
            provide_automatic_options=False,
            methods=["GET", "OPTIONS"],
        )

    def _metadata(self) -> BaseResponse:
        """The metadata of a server with access tokens: outside of its mount point (RFC 9728)."""
        resource = self.server.resource_server
        try:
            read = ProtocolRequest(request.method, read_headers(request.environ))
            self.server.protocol.check_host(read)
        except ProtocolError as error:
            return _response(refusal(error))
        document = None if resource is None else resource.metadata(self._url())
        return _response(metadata_reply(request.method, document))

    def _url(self) -> str:
        """The URL of the MCP endpoint, as the client wrote it."""
        return request.host_url.rstrip("/") + request.script_root + self.path

    def _view(self, rest: str = "") -> BaseResponse:
        tell_of_unmatched(current_app._get_current_object())  # type: ignore[attr-defined]
        keep_environ(request._get_current_object())  # type: ignore[attr-defined]
        prefix = self.path.encode().decode("latin-1")
        environ = {
            **request.environ,
            "SCRIPT_NAME": request.environ.get("SCRIPT_NAME", "") + prefix,
            "PATH_INFO": request.environ["PATH_INFO"].removeprefix(prefix),
        }
        wsgi = self.server.wsgi
        if not wsgi.is_direct(environ):
            return Response.from_app(wsgi.bridge, environ)
        try:
            body = self._body()
        except (IncompleteBody, ClientDisconnected):
            return _response(self.server.protocol.incomplete())
        if body is None:
            return _response(self.server.protocol.too_large())
        own_request = request._get_current_object()  # type: ignore[attr-defined]
        return _response(
            self.server.wsgi_endpoint.respond_to(
                ProtocolRequest(
                    request.method,
                    read_headers(request.environ),
                    body,
                    lambda: own_request,
                    caller=current_caller,
                    has_role=current_role,
                    url=self._url,
                    address=request.remote_addr,
                    server=server_of(request.environ),
                    mount=request.script_root + self.path,
                ),
                multithread=is_multithread(request.environ),
            )
        )

    def _body(self) -> bytes | None:
        """The request's body, which a before_request function may have read already.

        Raises IncompleteBody, or ClientDisconnected, which is Werkzeug's name for it.
        """
        limit = self.server.protocol.settings.max_body_bytes
        length = request.content_length
        if length is not None and length > limit:
            return None
        with whole_body(HTTPException):
            body = request.stream.read(limit + 1) if length is None else request.get_data()
        return None if len(body) > limit else body


def _response(answer: Reply | EventStream) -> Response:
    if isinstance(answer, Reply):
        return Response(answer.body, answer.status, answer.headers)
    return Response(UntilGoodbye(within_request(answer.events)), 200, HEADERS)
