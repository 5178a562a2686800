"""A server in front of a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

from mcp_mount.base import MCPServer
from mcp_mount.transports.environs import Environ, is_multithread, own_environ
from mcp_mount.transports.resuming import ClosingAfterRetry
from mcp_mount.transports.scopes import HOST_PREFIX
from mcp_mount.transports.short_ways import answered
from mcp_mount.transports.wsgi import StartResponse, send_reply
from mcp_mount.wire.messages import Reply
from mcp_mount.wrapping.arguments import DirectlyWithin, Wrapped
from mcp_mount.wrapping.fallback import Closable, wsgi_asked_first

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
        directly: What it runs in if it is a direct call, by its environment; it must be the same to
            the handler.

    Raises:
        TypeError: If the arguments are swapped, or `app` is no WSGI application.
        ValueError: If the path has parameters.
        DefinitionError: If a server that is mounted already would not be reached any more.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        path: str,
        server: MCPServer,
        *,
        around: Around | None = None,
        directly: Callable[[Environ], DirectlyWithin] | None = None,
    ) -> None:
        super().__init__(app, path, server, 2)
        host = server.core.host
        if host.request_type is None:
            known = host.without_permissions
            server.core.attach(
                replace(
                    host,
                    request_type=dict,
                    without_permissions=lambda: known() or "a WSGI application",
                )
            )
        self._around = around
        self._directly = directly

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self._directly is not None and environ.get("PATH_INFO") == self.path:
            environ = own_environ(environ)
            reply = self._answer_directly(environ, self._directly)
            if reply is not None:
                return send_reply(reply, start_response)
        path = self.inner_path(environ.get("PATH_INFO", ""))
        if path is None and (alias := self.alias_path(environ.get("PATH_INFO", ""))):
            environ = own_environ(environ)
            read_body = self.server.core.wsgi_endpoint.read_body
            asked = wsgi_asked_first(self.app, environ, start_response, read_body)
            if isinstance(asked, Reply):
                return send_reply(asked, start_response)
            if asked is not None:
                return asked
            path = alias
        if path is None:
            answer: Iterable[bytes] = self.app(environ, start_response)
            return answer
        if self._directly is not None:
            environ = own_environ(environ)
            reply = self._answer_route(environ, path[len(self.path) :], self._directly)
            if reply is not None:
                return send_reply(reply, start_response)
        inner = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + self.path,
            HOST_PREFIX: environ.get("SCRIPT_NAME", ""),
            "PATH_INFO": path[len(self.path) :],
        }
        if self._around is None:
            return self.server.wsgi(inner, start_response)
        return ClosingAfterRetry(self._serve(inner, start_response, self._around))

    def _answer_directly(
        self, environ: Environ, directly: Callable[[Environ], DirectlyWithin]
    ) -> Reply | None:
        """The reply to a direct call; None for the long way."""
        endpoint = self.server.core.wsgi_endpoint
        if not self.server.core.allows_direct_calls:
            return None
        asked = endpoint.direct.find(environ, stands_alone=False)
        if asked is None:
            return None
        manager, read = directly(environ)
        body = endpoint.read_body(environ)
        if isinstance(body, Reply):
            # As in the long way, which enters this before it reads.
            with manager:
                return body
        call = endpoint.direct.read(asked, body)
        if call is None:
            # The long way reads it once more.
            environ["wsgi.input"] = BytesIO(body)
            return None
        with manager:
            return endpoint.answer_directly(call, read, multithread=is_multithread(environ))

    def _answer_route(
        self, environ: Environ, rest: str, directly: Callable[[Environ], DirectlyWithin]
    ) -> Reply | None:
        """The reply to a direct request to an HTTP route; None for the long way, for
        which the body of the request is in the environment once more."""
        short = self.server.core.short_way(rest)
        direct = None if short is None else short.direct
        if direct is None or not direct.find(environ, stands_alone=False):
            return None
        manager, _ = directly(environ)
        return answered(direct, environ, manager)

    def _serve(
        self, environ: Environ, start_response: StartResponse, around: Around
    ) -> Iterable[bytes]:
        # A client that leaves is no failure for what is around: the calls have ended before.
        with around(environ), suppress(GeneratorExit):
            answer = self.server.wsgi(environ, start_response)
            try:
                yield from answer
            finally:
                if isinstance(answer, Closable):
                    answer.close()
