"""The application that a server is mounted in, as far as the server asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.backends.tasks.contexts import Around, current_context
from mcp_mount.backends.tasks.payloads import Origin
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import accepted_languages
from mcp_mount.calls.exception_hooks import NO_HOOKS, ExceptionHooks
from mcp_mount.hosting.task_requests import data_of_scope
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.settings import bearer
from mcp_mount.wire.errors import Challenge

if TYPE_CHECKING:
    from mcp_mount.auth.authorization.accounts import Accounts
    from mcp_mount.auth.authorization.events import SignInEvent

around_test_requests: Final[list[Callable[[], AbstractContextManager[None]]]] = []
"""Entered by the clients for tests around each request that they make on the thread of the test: a
framework that ends a request's connections lets those of the test be."""


def _of_middleware() -> Accounts:
    # Only a SignIn asks, which needs more than others import.
    return import_module("mcp_mount.hosting.middleware_accounts").accounts()  # type: ignore[no-any-return]


def _no_names() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Host:
    """The application that a server is mounted in, as far as the server asks it.

    Args:
        secret_keys: The keys, oldest first; the last one seals.
        debug: Whether docs may be shown.
        host_names: The Host headers that the host itself checks.
        challenge: The WWW-Authenticate header for callers who are not known, where the host
            authenticates.
        serves_metadata: Whether the host serves the metadata of the resource at a path, by
            RFC 9728.
        serves_issuer: Whether the host serves the metadata of the server's own authorization server
            at the root of the domain, for an MCP endpoint at a path: no other server, and nothing
            of the application, has that place.
        detach: Prepares a call to outlive its request, as a task, and gives the context variables
            to run it in.
        around_task: What a task runs in, entered on a thread that it has for itself; None where it
            needs none. Raises ProtocolError for a call that cannot outlive its request.
        task_data: What must be known of the caller of a request that begins a task, as data for
            JSON, so that a worker in another process knows the caller again.
        task_request: Makes of that the request that a worker runs the task for, and enters what the
            task needs of the host around it; None for a request of Starlette. Raises ProtocolError
            for a user who may not come any more.
        varies: What a result depends on beside its call, its caller and where they call: the
            language, say. Results that differ in it are kept apart.
        request_type: The class of the requests that handlers get here, where it is always the same
            one.
        app: The application itself, for the `app` of Starlette's requests.
        without_permissions: Returns what it is called in errors, if it has no permissions by name;
            None if it may have some.
        guards: Whether it evidently refuses callers before they reach the server.
        accounts: Returns the accounts that people sign in with; None if the host knows none. By
            default, those that AuthenticationMiddleware knows.
        on_sign_in_event: Is told of what happens at the server's own authorization server.
        exceptions: Translates those of the framework that tell a client something (Http404, a
            werkzeug HTTPException) into ours: ToolError for words, ResourceNotFoundError for what
            does not exist, `CallRejected(words, status=403)` for who may not,
            `CallRejected(words, status=429, retry_after=…)` for later. It is told of real failures,
            once each, where the answer is made: under WSGI on the request's thread, under ASGI on
            the event loop, which it must not hold up.
    """

    secret_keys: Callable[[], Sequence[str | bytes]] = _no_names
    debug: Callable[[], bool] = bool
    host_names: Callable[[], Sequence[str]] = _no_names
    challenge: Callable[[ProtocolRequest, Challenge], str] = bearer
    serves_metadata: Callable[[str], bool] = lambda path: False
    serves_issuer: Callable[[str], bool] = lambda path: False
    detach: Callable[[Call], Context] = current_context
    around_task: Callable[[Call], Around | None] = lambda call: None
    task_data: Callable[[ProtocolRequest], Mapping[str, Any]] = data_of_scope
    task_request: Callable[[Origin], AbstractContextManager[ProtocolRequest]] | None = None
    varies: Callable[[ProtocolRequest], str] = accepted_languages
    request_type: type | None = None
    app: Any = None
    without_permissions: Callable[[], str | None] = lambda: None
    guards: Callable[[], bool] = bool
    accounts: Callable[[], Accounts | None] = _of_middleware
    on_sign_in_event: Callable[[SignInEvent], object] = lambda event: None
    exceptions: ExceptionHooks = NO_HOOKS
