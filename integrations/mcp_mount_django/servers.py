"""The servers on which Django projects register their tools."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, cached_property, partial
from importlib import import_module
from typing import Any, TypeAlias
from weakref import WeakSet

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, URLPattern
from django.urls.resolvers import RegexPattern
from typing_extensions import Unpack

import mcp_mount
from mcp_mount.base import refuse_unknown_server_options
from mcp_mount.calls.exception_hooks import ExceptionHooks
from mcp_mount.hosting.host import Host, around_test_requests
from mcp_mount.options import (
    MCPServerOptions,
    NamedServerOptions,
    checked,
    refuse_unverified,
)
from mcp_mount.schemas.arguments import request_types
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.transports.scopes import Receive, Scope, Send
from mcp_mount.transports.threads import Runner
from mcp_mount.transports.wsgi_app import WSGIApp
from mcp_mount.wire.tokens import AccessToken
from mcp_mount_django.authentication import Authentication
from mcp_mount_django.authenticators import Authenticator
from mcp_mount_django.caches import redis_url
from mcp_mount_django.calls import Calls, active_variant, detach, run_off_loop
from mcp_mount_django.exceptions import report, translate, value_of
from mcp_mount_django.exposing.server_methods import ExposeMixin
from mcp_mount_django.in_front import FrontASGI, FrontWSGIApp, is_from_view
from mcp_mount_django.options import defaults
from mcp_mount_django.signals import sign_in_event
from mcp_mount_django.task_requests import task_data, task_request
from mcp_mount_django.tested import connections_of_the_test
from mcp_mount_django.view import ServerView
from mcp_mount_django.well_known import serves_issuer, serves_metadata

request_types.append(HttpRequest)
around_test_requests.append(connections_of_the_test)

TaskContext: TypeAlias = Callable[[Any], AbstractContextManager[Any]]


servers: WeakSet[MCPServer] = WeakSet()
"""All servers of the project, for its checks and commands."""


class MCPServer(ExposeMixin, mcp_mount.MCPServer):
    """An MCPServer that uses the settings of a Django project.

    It seals sessions and states with SECRET_KEY (and SECRET_KEY_FALLBACKS), connects the processes
    of the project by the Redis that CACHES names, if it does, leaves the check of the
    Host header to ALLOWED_HOSTS, and shows its documents under DEBUG. With ATOMIC_REQUESTS, each
    tool call is a transaction on each database. Permissions are Django's ("shop.view_order"), or
    functions of its request.

    Args:
        name: The name of the server.
        authentication: Authentication classes of Django REST framework, or functions that take the
            request and return a user or None. If none of them knows the caller, the server uses the
            user of the project's middleware.
        login_required: Whether anonymous requests are refused (401).
        task_context: A function of the request that returns the context manager in which a task
            runs, on its own thread. It restores what the project's middleware sets, because a task
            outlives its request. Use `contextlib.nullcontext` if tasks need none of this.
        options: The options of `mcp_mount.MCPServer`. The setting MCP_MOUNT gives the defaults.

    Raises:
        DefinitionError: If an option does not exist or has an invalid value.
        ImproperlyConfigured: If an authenticator or a function cannot be imported.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        authentication: Sequence[Authenticator] | None = None,
        login_required: bool | None = None,
        task_context: TaskContext | None = None,
        **options: Unpack[MCPServerOptions],
    ) -> None:
        refuse_unknown_server_options(self, options)
        given = {"name": "django", "authentication": (), "login_required": False, **defaults()}
        given.setdefault("backplane", redis_url())
        own = {"name": name, "authentication": authentication, "login_required": login_required}
        given |= {key: value for key, value in own.items() if value is not None}
        given |= options
        if "auth_required" not in options:
            _refuse_unverified(given)
        self.authentication = Authentication(
            given.pop("authentication"),
            login_required=given.pop("login_required"),
            find_user=given.pop("find_user", None),
        )
        self.task_context: TaskContext | None = task_context or given.pop("task_context", None)
        given.pop("task_context", None)
        _check_task_context(self.task_context)
        # Authenticators named by dotted paths may need models. For servers that are created
        # earlier, such as those of an mcp.py, MCPMountConfig.ready imports them.
        if apps.ready:
            self.authentication.load()
        self.calls = Calls(self)
        super().__init__(**given)
        self.core.attach(
            Host(
                secret_keys=_secret_keys,
                debug=lambda: settings.DEBUG,
                host_names=lambda: settings.ALLOWED_HOSTS,
                challenge=self.authentication.challenge_for,
                detach=detach,
                around_task=self.calls.around_task,
                task_data=task_data,
                task_request=partial(task_request, self),
                varies=lambda request: active_variant(),
                guards=lambda: self.authentication.login_required,
                serves_metadata=serves_metadata,
                serves_issuer=serves_issuer,
                accounts=lambda: import_module("mcp_mount_django.accounts").accounts(),
                on_sign_in_event=lambda event: sign_in_event.send_robust(self, event=event),
                request_type=HttpRequest,
                exceptions=ExceptionHooks(
                    translate, report, responses=HttpResponseBase, value_of=value_of
                ),
            )
        )
        self._find_signed_in()
        servers.add(self)

    def configure(self, **options: Unpack[NamedServerOptions]) -> None:
        """Change options of the server, before the first request: all of them, or none.

        Args:
            options: The options that change. The arguments of FastAPI, `authentication`,
                `login_required` and `task_context` are given when the server is made.

        Raises:
            DefinitionError: If an option does not exist or has an invalid value.
            ValueError: If a host name or an origin can match nothing.
        """
        # The user is that of Django's request, so the core is not told how to find it.
        own = {name: options.pop(name) for name in ("find_user",) if name in options}
        found = checked(own)
        super().configure(**options)
        if own:
            self.authentication.find_user = found["find_user"]
        self._find_signed_in()

    def _find_signed_in(self) -> None:
        """Let people who have signed in be users of the project, unless the user says how."""
        if self.core.sign_in is not None and self.authentication.find_user is None:
            self.authentication.find_user = _signed_in

    is_beside = False
    """Whether the server is in front of the project, and not in its URLs."""

    @cached_property
    def view(self) -> ServerView:
        """The view that serves the requests of this server."""
        return ServerView(self, self.calls, self.authentication)

    @cached_property
    def wsgi(self) -> WSGIApp:
        """The server as a WSGI application, with Django's requests and authentication."""
        return FrontWSGIApp(self, self.view)

    @cached_property
    def _front(self) -> FrontASGI:
        return FrontASGI(self.view)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as an ASGI application, with Django's requests and authentication."""
        if scope["type"] != "http" or is_from_view(scope):
            await super().__call__(scope, receive, send)
        else:
            await self._front(scope, receive, send)

    def _make_runner(self) -> Runner:
        return Runner(
            self.calls.run_outside_request, run_off_loop, self.calls.run_async_outside_request
        )

    @property
    def urls(self) -> list[URLPattern]:
        """URL patterns for `include`: MCP at the prefix itself, the other routes below it.

        Raises:
            ImproperlyConfigured: If this package is not in INSTALLED_APPS, so that no `mcp.py`
                would be imported and nothing be checked; or if the apps are not ready.
        """
        if not apps.apps_ready:
            raise ImproperlyConfigured(
                "server.urls was used before the apps of the project were loaded: use it in the "
                "module that ROOT_URLCONF names, or in one that it includes."
            )
        if not apps.is_installed("mcp_mount_django"):
            raise ImproperlyConfigured(
                'Add "mcp_mount_django" to INSTALLED_APPS: it discovers the tools of the apps and '
                "checks the servers."
            )
        view: Any = self.view
        return [
            _ServerPattern(RegexPattern(r"^(?:/(?P<rest>.*))?$", "mcp", is_endpoint=True), view)
        ]


class _ServerPattern(URLPattern):
    """The pattern of a server. What it has for the mount point itself, where all messages come, is
    worked out once."""

    @cached_property
    def _at_mount_point(self) -> ResolverMatch | None:
        return super().resolve("")

    def resolve(self, path: str) -> ResolverMatch | None:
        return super().resolve(path) if path else self._at_mount_point


def _signed_in(token: AccessToken) -> Any:
    # Models are there only when the apps are ready.
    return import_module("mcp_mount_django.accounts").user_of_token(token)


def _refuse_unverified(options: Mapping[str, Any]) -> None:
    """Refuse the key AUTH_REQUIRED for a server without `auth`, which would be open.

    Raises:
        ImproperlyConfigured: For such a server.
    """
    try:
        refuse_unverified(
            "MCP_MOUNT['AUTH_REQUIRED']", options.get("auth_required"), options.get("auth")
        )
    except DefinitionError as error:
        raise ImproperlyConfigured(str(error)) from None


def _check_task_context(function: Any) -> None:
    """Refuse a task context with which every task would fail.

    Raises:
        ImproperlyConfigured: If it is not a function, or is a generator function.
    """
    if function is None:
        return
    if not callable(function) or inspect.isgeneratorfunction(function):
        hint = "; decorate it with @contextlib.contextmanager" if callable(function) else ""
        raise ImproperlyConfigured(
            "TASK_CONTEXT (task_context=) must be a function of the request that returns a context "
            f"manager, not {function!r}{hint}"
        )


def _secret_keys() -> Sequence[str | bytes]:
    # Django lists the newest fallback first; the server wants the oldest key first.
    return [*reversed(settings.SECRET_KEY_FALLBACKS), settings.SECRET_KEY]


@cache
def default_server() -> MCPServer:
    """Return the default server, which is created at its first use, when the settings are
    available.
    """
    return MCPServer()
