"""A server as a WSGI application: MCP by the WSGI driver, all other routes by the bridge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, Protocol

from mcp_mount.calls.call import Call
from mcp_mount.transports.bridge import Bridge, scope_of
from mcp_mount.transports.environs import MOUNTED, Environ, is_multithread, own_environ
from mcp_mount.transports.scopes import ENDPOINT, has_role, note_token
from mcp_mount.transports.short_ways import ShortWay, answered
from mcp_mount.transports.threads import Runner
from mcp_mount.transports.wsgi import StartResponse, WSGITransport, send_reply, status_line
from mcp_mount.wire.messages import Request

_OWN_REQUEST: Final = "mcp_mount.own_request"
"""The key of a WSGI environment under which the request is kept that was made of it."""


class Application(Protocol):
    """What the WSGI side needs of a server as an ASGI application."""

    user_middleware: list[Any]


class WSGIParts(Protocol):
    """What the WSGI side needs of the parts of a server."""

    mcp_path: str
    resource_server: Any
    runner: Runner
    is_attached: bool
    wsgi_endpoint: WSGITransport

    @property
    def gives_environ(self) -> bool: ...

    def is_endpoint(self, scope: Mapping[str, Any]) -> bool: ...

    def short_way(self, path: str) -> ShortWay | None: ...

    def request_beside(self, scope: MutableMapping[str, Any]) -> Any: ...


class WSGIApp:
    """The WSGI side of an MCPServer. PATH_INFO is the path below the mount point.

    If the server has Starlette middleware, MCP requests pass through it on the background loop,
    and come back to the request's thread for plain functions.
    """

    def __init__(self, application: Application, parts: WSGIParts) -> None:
        self._application: Any = application
        self._server = parts

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ[MOUNTED] = self._server.is_attached
        if self._server.resource_server is not None and not self._server.is_attached:
            environ = {
                **environ,
                ENDPOINT: environ.get("SCRIPT_NAME", "") + self._server.mcp_path,
            }
        if self.is_unbridged(environ):
            environ = own_environ(environ)
            if self._server.gives_environ:
                return self._server.wsgi_endpoint(environ, start_response)
            complete = partial(self._complete, environ)
            return self._server.wsgi_endpoint(environ, start_response, complete=complete)
        short = self._server.short_way(environ.get("PATH_INFO", ""))
        has_plain_runner = self._server.runner.run is Call.run
        if short is not None and short.direct is not None and has_plain_runner:
            environ = own_environ(environ)
            stands_alone = not environ.get(MOUNTED, True) and not environ.get("SCRIPT_NAME")
            is_usual = short.direct.find(environ, stands_alone=stands_alone)
            reply = answered(short.direct, environ) if is_usual else None
            if reply is not None:
                return send_reply(reply, start_response)
        return self.bridge(environ, start_response)

    def _request(self, environ: Environ) -> Any:
        """The request of a server that stands alone: the same as under ASGI, and made once."""
        known = environ.get(_OWN_REQUEST)
        if known is None:
            known = environ[_OWN_REQUEST] = self._server.request_beside(scope_of(environ))
        return known

    def _complete(self, environ: Environ, request: Request) -> None:
        """Let a request know what one under ASGI does."""
        request.host_request = partial(self._request, environ)
        request.on_token = lambda token, user: note_token(request.host_request().scope, token, user)
        request.has_role = lambda name: has_role(request.host_request().scope, name)

    def is_unbridged(self, environ: Environ) -> bool:
        """Whether a request is for MCP and nothing stands between."""
        return not self._application.user_middleware and self._is_endpoint(environ)

    def bridge(
        self, environ: Environ, start_response: StartResponse, runner: Runner | None = None
    ) -> Iterable[bytes]:
        """Serve a request by the ASGI application, on the background loop.

        Args:
            environ: The WSGI environment.
            start_response: WSGI's.
            runner: How handlers run for this request; by default as on this server.
        """
        try:
            environ.get("PATH_INFO", "").encode("latin-1").decode()
        except UnicodeDecodeError:
            # ASGI has no form for such a path (PEP 3333 does), so no route can match.
            start_response(status_line(404), [("content-type", "application/json")])
            return [b'{"detail":"Not Found"}']
        waiting = self._server.wsgi_endpoint.waiting(multithread=is_multithread(environ))
        return Bridge(
            self._application, runner or self._server.runner, waiting, environ, start_response
        )

    def _is_endpoint(self, environ: Environ) -> bool:
        if environ["REQUEST_METHOD"] == "POST":
            # As `is_endpoint` has it, without a scope for each call of a tool.
            path = environ.get("PATH_INFO", "").rstrip("/")
            return not path or (path == self._server.mcp_path and not self._server.is_attached)
        return self._server.is_endpoint(
            {
                "path": environ.get("PATH_INFO", ""),
                "method": environ["REQUEST_METHOD"],
                "headers": [(b"accept", environ.get("HTTP_ACCEPT", "").encode("latin-1"))],
                "mcp_mount.mounted": self._server.is_attached,
            }
        )
