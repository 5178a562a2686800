"""The requests that stand, in worker processes, for those that began tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIRequest
from django.urls import get_script_prefix, set_script_prefix
from django.utils import timezone, translation

from mcp_mount.backends.tasks.payloads import Origin
from mcp_mount.hosting.task_requests import completed, environ_of, headers_of
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.transports.driving import follow
from mcp_mount.wire.errors import access_denied
from mcp_mount_django.calls import fresh_connections
from mcp_mount_django.rights import Rights
from mcp_mount_django.users import anonymous, is_active, set_user


def task_data(asked: ProtocolRequest) -> Mapping[str, Any]:
    """Return what a worker needs to load the user again, and the language, time zone and script
    prefix that are active.

    Args:
        asked: The request that begins a task.
    """
    request: Any = asked.host_request()
    scope = getattr(getattr(request, "auth", None), "scope", None)
    return {
        "user": _key_of(getattr(request, "user", None)),
        "scope": scope if isinstance(scope, str) else None,
        "language": translation.get_language(),
        "time_zone": timezone.get_current_timezone_name(),
        "prefix": get_script_prefix(),
    }


@contextmanager
def task_request(server: Any, origin: Origin) -> Iterator[ProtocolRequest]:
    """Enter the language and the time zone of the request that began a task, with connections
    managed as around a request. No middleware sees the request that stands for it.

    Args:
        server: The server.
        origin: What is known of the request that began the task.

    Raises:
        ProtocolError: If the user does not exist any more, or is not active.
    """
    data, before = origin.data, get_script_prefix()
    set_script_prefix(data["prefix"])
    try:
        with (
            fresh_connections(),
            translation.override(data["language"]),
            timezone.override(data["time_zone"]),
        ):
            yield _request(server, origin)
    finally:
        set_script_prefix(before)


def _request(server: Any, origin: Origin) -> ProtocolRequest:
    environ = environ_of(origin)
    environ.pop("REMOTE_USER", None)
    if (origin.url or "").startswith("https:"):
        environ["wsgi.url_scheme"] = "https"
    request: Any = WSGIRequest(environ)
    request.auth = _KeptCredentials(origin.data["scope"])
    set_user(request, anonymous())
    if origin.token is None and origin.data["user"] is not None:
        set_user(request, _user(origin.data["user"]))
    rights = Rights(request)
    read = completed(
        ProtocolRequest(
            "POST",
            headers_of(origin),
            host_request=lambda: request,
            has_permission=rights.has_permission,
            has_scope=rights.has_scope,
            has_role=rights.has_role,
        ),
        origin,
    )
    # Finds the user of an access token.
    refusal = follow(server.authentication.let_in(server.core.protocol, read, request))
    if refusal is not None or (read.caller() is None and server.authentication.login_required):
        raise access_denied(known=False)
    return read


class _KeptCredentials:
    """Stands for the credentials of the request that began a task: their scopes, if they have
    some."""

    def __init__(self, scope: str | None) -> None:
        self.scope = scope


def _key_of(user: Any) -> str | None:
    """The key by which a user can be loaded; None for nobody, and for one without a model."""
    if user is None or not user.is_authenticated or not isinstance(user, get_user_model()):
        return None
    return user._meta.pk.value_to_string(user)  # type: ignore[no-any-return]


def _user(key: str) -> Any:
    """Load a user.

    Raises:
        ProtocolError: If they do not exist any more, or are not active.
    """
    model = get_user_model()
    user = model._default_manager.filter(pk=model._meta.pk.to_python(key)).first()
    if user is None or not is_active(user):
        raise access_denied(known=False)
    return user
