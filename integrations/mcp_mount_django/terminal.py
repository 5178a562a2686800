"""Requests from the terminal, which pass the project's middleware as requests over HTTP do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, set_script_prefix

from mcp_mount.cli.console import CommandError
from mcp_mount.protocol import Reply, Request
from mcp_mount.transports.environs import make_environ
from mcp_mount_django.rights import Rights
from mcp_mount_django.servers import MCPServer
from mcp_mount_django.users import anonymous, caller_of, set_user

_LOGIN_REQUIRED: Final = (
    "Authentication required: LOGIN_REQUIRED refuses anonymous callers; name a user with --user"
)


class Terminal:
    """A server, used from the terminal with the permissions of a user.

    Args:
        server: The server.
        user: The user; None for the user of the middleware.
        path: The path of the server in the project's URLs; None if it has none.
        host: A host name that the project serves.
    """

    def __init__(self, server: MCPServer, user: Any, *, path: str | None, host: str) -> None:
        self._server = server
        self._user = user
        self._path = path
        self._host = host
        self._handler = _TerminalHandler()

    def respond(self, asked: Request) -> Reply:
        """Answer a request, inside the middleware.

        Raises:
            CommandError: If the middleware answers instead, or if a login is required and there is
                no user.
        """
        found: list[Reply] = []

        def answer(request: HttpRequest) -> None:
            reply = self._server.core.wsgi_endpoint.respond_to(self._known(asked, request))
            assert isinstance(reply, Reply), "no stream was accepted"
            found.append(reply)

        self._pass(answer)
        return found[0]

    def caller(self) -> Request:
        """Return a request that has passed the middleware, for a stdio client, which
        outlives it.
        """
        found: list[HttpRequest] = []
        self._pass(found.append)
        return self._known(Request("POST", {}), found[0])

    def _known(self, asked: Request, request: HttpRequest) -> Request:
        """Return a request of the protocol with what Django knows about its caller."""
        caller, rights = caller_of(request), Rights(request)
        return replace(
            asked,
            host_request=lambda: request,
            caller=lambda: caller,
            has_permission=rights.has_permission,
            has_role=rights.has_role,
        )

    def _pass(self, answer: Callable[[HttpRequest], None]) -> None:
        """Send a request through the middleware and call a function in place of the view."""
        request: Any = self._request()
        if self._server.is_beside:
            self._log_in(request)
            if self._is_refused(request):
                raise CommandError(_LOGIN_REQUIRED)
            answer(request)
            return
        if self._user is not None:
            # The authentication middleware treats it as the user of the session.
            request._cached_user = request._acached_user = self._user
        is_answered = is_refused = False

        def view(request: HttpRequest) -> HttpResponse:
            nonlocal is_answered, is_refused
            is_answered = True
            self._log_in(request)
            is_refused = self._is_refused(request)
            if is_refused:
                return HttpResponse(status=401)
            answer(request)
            return HttpResponse()

        self._handler.view = _View(self._server, view)
        response: Any = self._handler.get_response(request)
        for close in response._resource_closers:
            close()
        if is_refused:
            raise CommandError(_LOGIN_REQUIRED)
        if not is_answered:
            to = f" and redirects to {response['location']}" if "location" in response else ""
            raise CommandError(
                f"The project's middleware answers {response.status_code}{to}: the "
                "request does not reach the server."
            )

    def _is_refused(self, request: HttpRequest) -> bool:
        """Whether a login is required and there is no user: 401 over HTTP."""
        return self._server.authentication.login_required and caller_of(request) is None

    def _log_in(self, request: HttpRequest) -> None:
        if self._user is not None:
            set_user(request, self._user)
        elif not hasattr(request, "user"):
            set_user(request, anonymous())

    def _request(self) -> HttpRequest:
        # Django's handlers do this for each request; `reverse()` depends on it.
        set_script_prefix(settings.FORCE_SCRIPT_NAME or "/")
        # With HTTP, SecurityMiddleware would answer with a redirect to HTTPS.
        scheme = "https" if settings.SECURE_SSL_REDIRECT else "http"
        headers = {"content-type": "application/json"}
        path = self._path or "/"
        return WSGIRequest(make_environ("POST", path, headers, host=self._host, scheme=scheme))


class _TerminalHandler(BaseHandler):
    """Django's handler, with another view in place of the server's."""

    def __init__(self) -> None:
        super().__init__()
        self.view: Any = None
        self.load_middleware()

    def resolve_request(self, request: HttpRequest) -> Any:
        # A server without a URL is called nevertheless.
        with suppress(Resolver404):
            super().resolve_request(request)
        return self.view, (), {}


class _View:
    """Stands in for the view of a server, for middleware that looks at the view."""

    def __init__(self, server: MCPServer, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self._view = server.view
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._answer(request)
