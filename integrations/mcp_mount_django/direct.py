"""Serve a server without the URLs of the project: in front of the project, or mounted in another
application.

No middleware sees its requests, but they are requests of Django: its request signals, its host
check, and the server's own authentication and permissions apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest

from mcp_mount.transports.scopes import HOST_PREFIX, HOST_REQUEST, Receive, Scope, Send
from mcp_mount.transports.wsgi import Environ, StartResponse
from mcp_mount.transports.wsgi_app import WSGIApp
from mcp_mount_django.users import anonymous, set_user
from mcp_mount_django.view import ServerView

_PREFIX = "mcp_mount_django.prefix"


def is_from_view(scope: Scope) -> bool:
    """Whether a request has already come through the server's view."""
    return HOST_REQUEST in scope or HOST_REQUEST in scope.get("wsgi_environ", {})


class DirectWSGIApp(WSGIApp):
    """The WSGI application of a Django server.

    Args:
        server: The server.
        view: Its view.
    """

    def __init__(self, server: Any, view: ServerView) -> None:
        super().__init__(server, server.core)
        self._handler = _WSGI(view)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request: through the view, unless it comes from there."""
        if HOST_REQUEST in environ:
            return super().__call__(environ, start_response)
        answer: Iterable[bytes] = self._handler(_split(environ), start_response)
        return answer


class DirectASGI:
    """The ASGI application of a Django server.

    Args:
        view: The view of the server.
    """

    def __init__(self, view: ServerView) -> None:
        self._handler = _ASGI(view)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request through the view."""
        # Django builds URLs from root_path, so it gets the prefix of the application around. The
        # rest of root_path leads to the server.
        outer, root = scope.get(HOST_PREFIX, ""), scope.get("root_path", "")
        own = {**scope, "root_path": outer, _PREFIX: root[len(outer) :]}
        await self._handler(own, receive, send)  # type: ignore[arg-type]


def _split(environ: Environ) -> Environ:
    """Return a WSGI environ whose SCRIPT_NAME is that of the application around, as Django's URLs
    need it, and not that of the server.
    """
    outer, script = environ.get(HOST_PREFIX, ""), environ.get("SCRIPT_NAME", "")
    prefix = script[len(outer) :]
    path = prefix + environ.get("PATH_INFO", "")
    return {**environ, "SCRIPT_NAME": outer, "PATH_INFO": path, _PREFIX: prefix}


def _call(view: ServerView, request: HttpRequest, prefix: str) -> Any:
    rest = request.path_info[len(prefix) :]
    # No middleware has set a user. An authenticator or an access token may replace this one.
    set_user(request, anonymous())
    return view(request, rest[1:] if rest else None)


class _WSGI(WSGIHandler):
    """Django's WSGI handler, with the server's view instead of middleware and URLs."""

    def __init__(self, view: ServerView) -> None:
        self._view = view
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        self._middleware_chain: Any = convert_exception_to_response(self._respond)

    def _respond(self, request: HttpRequest) -> Any:
        # WSGI environs contain bytes as latin-1 text (PEP 3333); Django has decoded the path.
        prefix = request.META[_PREFIX].encode("latin-1").decode(errors="replace")
        return _call(self._view, request, prefix)


class _ASGI(ASGIHandler):
    """Django's ASGI handler, with the server's view instead of middleware and URLs."""

    def __init__(self, view: ServerView) -> None:
        self._view = view
        super().__init__()

    def load_middleware(self, is_async: bool = True) -> None:
        self._middleware_chain: Any = convert_exception_to_response(self._respond)

    async def _respond(self, request: Any) -> Any:
        return await _call(self._view, request, request.scope[_PREFIX])
