"""Serve a server without the URLs of the project: in front of the project, or mounted in another
application.

No middleware sees its requests, but they are requests of Django: its request signals, its host
check, and the server's own authentication and permissions apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, get_script_name
from django.http import HttpRequest
from django.urls import set_script_prefix, set_urlconf

from mcp_mount.transports.environs import Environ, IncompleteBody, body_length
from mcp_mount.transports.scopes import HOST_PREFIX, HOST_REQUEST, RESUMED, Receive, Scope, Send
from mcp_mount.transports.wsgi import StartResponse
from mcp_mount.transports.wsgi_app import WSGIApp
from mcp_mount.wire.messages import JSON
from mcp_mount_django.authentication import USER_OF_TEST
from mcp_mount_django.threads import own_event_loop
from mcp_mount_django.users import anonymous, set_user
from mcp_mount_django.view import BEGUN, ServerView

_PREFIX = "mcp_mount_django.prefix"


def is_from_view(scope: Scope) -> bool:
    """Whether a request has already come through the server's view."""
    return HOST_REQUEST in scope or HOST_REQUEST in scope.get("wsgi_environ", {})


class FrontWSGIApp(WSGIApp):
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
        own = _split(environ)
        rest = environ.get("PATH_INFO", "")
        if not rest:
            direct = self._handler.answer_directly(own, start_response)
        else:
            direct = self._handler.answer_route(own, rest[1:], start_response)
        if direct is not None:
            return direct
        answer: Iterable[bytes] = self._handler(own, start_response)
        return answer


class FrontASGI:
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


def _with_length(response: Any) -> Any:
    """A response with its length, which CommonMiddleware adds in a project: without it, servers
    send chunks."""
    if not response.streaming and response.status_code != 204:
        response.headers.setdefault("Content-Length", str(len(response.content)))
    return response


class _WSGI(WSGIHandler):
    """Django's WSGI handler, with the server's view instead of middleware and URLs."""

    def __init__(self, view: ServerView) -> None:
        self._view = view
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        self._middleware_chain: Any = convert_exception_to_response(self._respond)

    def answer_directly(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes] | None:
        """Answer a direct call as `__call__` does, with the signals of a request and the prefix for
        URLs, but without the objects of a request and a response: a third of the time.

        Args:
            environ: The WSGI environment of a request to the mount point.
            start_response: WSGI's.

        Returns:
            The response; None for the long way, which finds the whole body.
        """
        view, host = self._view, self._plain_host(environ)
        if host is None:
            return None
        asked = view.direct.find(environ, host)
        if asked is None or asked.is_async:
            return None
        body = _body(environ, view.server.core.protocol.settings.max_body_bytes)
        call = None if body is None else view.direct.read(asked, body)
        if body is None or call is None:
            return None
        self._begin(environ)
        with own_event_loop():
            outcome = view.direct.run(call)
        if outcome.reply is not None:
            return _sent(outcome.reply, start_response)
        environ[BEGUN] = call, outcome
        return self._go_on(environ, start_response)

    def answer_route(
        self, environ: Environ, rest: str, start_response: StartResponse
    ) -> Iterable[bytes] | None:
        """Answer a request to an HTTP route that needs nothing but its handler, as
        `answer_directly` does.

        Args:
            environ: The WSGI environment.
            rest: The path below the server.
            start_response: WSGI's.
        """
        view, host = self._view, self._plain_host(environ)
        if host is None or view.server.core.short_way(f"/{rest}") is None:
            return None
        body = _body(environ, view.server.core.protocol.settings.max_body_bytes)
        route = None if body is None else view.direct.find_route(environ, host, rest, body)
        if route is None:
            return None
        self._begin(environ)
        with own_event_loop():
            done = route.run()
        if isinstance(done, bytes):
            return _sent(done, start_response)
        environ[RESUMED] = done
        return self._go_on(environ, start_response)

    def _plain_host(self, environ: Environ) -> str | None:
        """The host that a request names, if it is one of the project's and nobody asks who the
        caller is; None for the long way."""
        host: str | None = environ.get("HTTP_HOST")
        authentication = self._view.authentication
        if (
            host is None
            or not self._view.hosts.has(host)
            or authentication.is_own
            or authentication.login_required
            or USER_OF_TEST in environ
        ):
            return None
        return host

    def _begin(self, environ: Environ) -> None:
        """Begin a request as Django's handler does."""
        set_script_prefix(get_script_name(environ))
        signals.request_started.send(sender=self.__class__, environ=environ)
        set_urlconf(settings.ROOT_URLCONF)

    def _go_on(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Go on with a request that has begun as Django's handler does."""
        response: Any = self.get_response(self.request_class(environ))
        response._handler_class = self.__class__
        start_response(
            f"{response.status_code} {response.reason_phrase}",
            [
                *response.items(),
                *(("Set-Cookie", one.output(header="")) for one in response.cookies.values()),
            ],
        )
        answer: Iterable[bytes] = response
        return answer

    def _respond(self, request: HttpRequest) -> Any:
        # WSGI environs contain bytes as latin-1 text (PEP 3333); Django has decoded the path.
        prefix = request.META[_PREFIX].encode("latin-1").decode(errors="replace")
        return _with_length(_call(self._view, request, prefix))


def _sent(body: bytes, start_response: StartResponse) -> Iterable[bytes]:
    length = str(len(body))
    start_response("200 OK", [("Content-Type", JSON), ("Content-Length", length)])
    return _Sent([body])


class _Sent(list[bytes]):
    """A finished response, after which the request has ended."""

    def close(self) -> None:
        signals.request_finished.send(sender=_WSGI)


def _body(environ: Environ, limit: int) -> bytes | None:
    """The body of a request, which stays where others may read it; None for one that the long way
    reads, or refuses.

    Args:
        environ: The WSGI environment.
        limit: The most bytes that the server takes.
    """
    try:
        length = body_length(environ)
    except IncompleteBody:
        return None
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if length is None or length > limit or (most is not None and length > most):
        return None
    try:
        body: bytes = environ["wsgi.input"].read(length)
    except Exception as error:
        environ["wsgi.input"] = _Broken(error)
        return None
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) == length else None


class _Broken:
    """The input of a request that could not be read."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1) -> bytes:
        raise self._error

    readline = read


class _ASGI(ASGIHandler):
    """Django's ASGI handler, with the server's view instead of middleware and URLs."""

    def __init__(self, view: ServerView) -> None:
        self._view = view
        super().__init__()

    def load_middleware(self, is_async: bool = True) -> None:
        self._middleware_chain: Any = convert_exception_to_response(self._respond)

    async def _respond(self, request: Any) -> Any:
        return _with_length(await _call(self._view, request, request.scope[_PREFIX]))
