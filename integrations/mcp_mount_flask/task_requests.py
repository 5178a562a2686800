"""The requests that stand, in worker processes, for those that began tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Flask, current_app, has_request_context, request

from mcp_mount.auth.users import is_active
from mcp_mount.backends.tasks.payloads import Origin
from mcp_mount.hosting.task_requests import completed, environ_of
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.transports.environs import read_headers
from mcp_mount.wire.errors import access_denied
from mcp_mount_flask.users import current_role, note_user


def task_data(asked: ProtocolRequest) -> Mapping[str, Any]:
    """Return the id by which Flask-Login loads the current user again, if it knows one.

    Args:
        asked: The request that begins a task.
    """
    has_logins = has_request_context() and hasattr(current_app, "login_manager")
    if asked.token is not None or not has_logins:
        return {}
    from flask_login import current_user

    return {"login": current_user.get_id()} if current_user.is_authenticated else {}


@contextmanager
def task_request(app: Flask, origin: Origin) -> Iterator[ProtocolRequest]:
    """Enter a request context with the user of a task: no function of the application has seen its
    request, which has the host name and the languages of the one that began the task.

    Args:
        app: The application.
        origin: What is known of the request that began the task.

    Raises:
        ProtocolError: If Flask-Login does not know the user any more, or they are not active.
    """
    with app.request_context(environ_of(origin)):
        current = request._get_current_object()  # type: ignore[attr-defined]
        if "login" in origin.data:
            user = app.login_manager._user_callback(origin.data["login"])  # type: ignore[attr-defined]
            if user is None or not is_active(user):
                raise access_denied(known=False)
            note_user(None, user)
        yield completed(
            ProtocolRequest(
                "POST",
                read_headers(current.environ),
                host_request=lambda: current,
                has_role=current_role,
                on_token=note_user,
            ),
            origin,
        )
