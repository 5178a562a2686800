"""A server in front of a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from mcp_mount.base import MCPServer
from mcp_mount.transports.resuming import ClosingAfterRetry
from mcp_mount.transports.scopes import HOST_PREFIX
from mcp_mount.transports.wsgi import Environ, StartResponse
from mcp_mount.wrapping.arguments import Wrapped


@runtime_checkable
class SupportsClose(Protocol):
    """A WSGI response that is closed when the server has sent it (PEP 3333)."""

    def close(self) -> None: ...


Around = Callable[[Environ], AbstractContextManager[Any]]


class mount_wsgi(Wrapped):
    """A WSGI application that serves `server` at `path`, and `app` everywhere else.

    Nothing has to be started. If the user gave the server a lifespan, the first request to the
    server starts it.

    Args:
        app: The WSGI application.
        path: Where the server stands, such as "/mcp".
        server: The server.
        around: What a request to the server runs in, such as the host's application context.

    Raises:
        TypeError: If the arguments are swapped, or `app` is no WSGI application.
        ValueError: If the path has parameters.
        DefinitionError: If a server that is mounted already would not be reached any more.
    """

    def __init__(
        self, app: Callable[..., Any], path: str, server: MCPServer, *, around: Around | None = None
    ) -> None:
        super().__init__(app, path, server, 2)
        host = server.core.host
        if host.request_type is None:
            known = host.without_permissions or "a WSGI application"
            server.core.attach(replace(host, request_type=dict, without_permissions=known))
        self._around = around or (lambda environ: nullcontext())

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = self.inner_path(environ.get("PATH_INFO", ""))
        if path is None:
            answer: Iterable[bytes] = self.app(environ, start_response)
            return answer
        inner = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + self.path,
            HOST_PREFIX: environ.get("SCRIPT_NAME", ""),
            "PATH_INFO": path[len(self.path) :],
        }
        return ClosingAfterRetry(self._serve(inner, start_response))

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # A client that leaves is no failure for what is around: the calls have ended before.
        with self._around(environ), suppress(GeneratorExit):
            answer = self.server.wsgi(environ, start_response)
            try:
                yield from answer
            finally:
                if isinstance(answer, SupportsClose):
                    answer.close()
