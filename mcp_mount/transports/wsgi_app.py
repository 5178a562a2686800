"""A server as a WSGI application: MCP by the WSGI driver, all other routes through a2wsgi."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from a2wsgi import ASGIMiddleware

from mcp_mount.transports import background
from mcp_mount.transports.wsgi import Environ, StartResponse

if TYPE_CHECKING:
    from mcp_mount.base import MCPServer


class WSGIApp:
    """The WSGI side of an MCPServer.

    A server with Starlette middleware is bridged as a whole, for its middleware must see every
    request: plain tools then run on a thread of their own.
    """

    def __init__(self, server: MCPServer) -> None:
        self._server = server

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.is_endpoint(environ) and not self._server.user_middleware:
            return self._server.wsgi_endpoint(environ, start_response)
        return self.bridge(environ, start_response)

    def is_endpoint(self, environ: Environ) -> bool:
        """Whether a request is for MCP; PATH_INFO is the path below the mount point."""
        return self._server.is_endpoint(
            {
                "path": environ.get("PATH_INFO", ""),
                "method": environ["REQUEST_METHOD"],
                "headers": [(b"accept", environ.get("HTTP_ACCEPT", "").encode("latin-1"))],
                "mcp_mount.mounted": self._server.attached is not None,
            }
        )

    def bridge(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request by the ASGI application, on the background loop."""
        application: Any = self._server
        bridge: Any = ASGIMiddleware(application, loop=background.loop())
        answer: Iterable[bytes] = bridge(environ, start_response)
        return answer
