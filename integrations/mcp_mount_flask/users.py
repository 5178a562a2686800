"""The user of the current request."""

from __future__ import annotations

from typing import Any, Final

from flask import current_app, g, request

from mcp_mount.wire.tokens import AccessToken


def current_caller() -> str | None:
    """Return the id of the current user: Flask-Login's, or the web server's REMOTE_USER."""
    manager = getattr(current_app, "login_manager", None)
    if manager is None:
        return request.remote_user
    from flask_login import current_user

    return current_user.get_id()  # type: ignore[no-any-return]


def current_role(name: str) -> bool:
    """Whether the current user has a role: by Flask-Security's `has_role`, or by an attribute
    `roles` with names, or with objects that have a name.
    """
    if getattr(current_app, "login_manager", None) is None:
        return False
    from flask_login import current_user

    if callable(getattr(current_user, "has_role", None)):
        return bool(current_user.has_role(name))
    roles = getattr(current_user, "roles", None) or ()
    return any(name in (one, getattr(one, "name", None)) for one in roles)


NOTED_USER: Final = "_mcp_mount_user"
"""The name in `g` of the user that `find_user=` has found."""


def note_user(token: AccessToken | None, user: Any) -> None:
    """Set the user of a verified access token or API key as the user of the current request.

    With Flask-Login this is `current_user`, otherwise `g.user`. Without `find_user=` it is the
    anonymous user, because the cookie of a request says nothing about its token.

    Args:
        token: The token; None for a user who is set without one.
        user: The user that `find_user=` has found; None for nobody.
    """
    setattr(g, NOTED_USER, user)
    manager: Any = getattr(current_app, "login_manager", None)
    if manager is not None:
        # Flask-Login's public `login_user` would also write the session.
        manager._update_request_context_with_user(user)
    elif user is not None:
        g.user = user
