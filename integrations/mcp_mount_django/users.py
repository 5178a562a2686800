"""The user of a request, and how to set it."""

from __future__ import annotations

import hashlib
import uuid
from copy import copy
from typing import Any, Final

from django.apps import apps
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, empty

from mcp_mount.auth.users import is_active as may_log_in
from mcp_mount.auth.users import is_true


def is_active(user: Any) -> bool:
    """Whether a user may log in. Users without `is_active` may, and the anonymous user counts too.

    Raises:
        TypeError: If the user's own methods return neither true nor false, as coroutine functions
            do.
    """
    return may_log_in(user) or is_true(user, "is_anonymous", default=False)


def as_read_anew(user: Any) -> Any:
    """Return a user without cached permissions."""
    other = copy(user)
    for name in [name for name in vars(other) if name.endswith("_perm_cache")]:
        delattr(other, name)
    return other


def set_user(request: HttpRequest, user: Any) -> None:
    """Set the user of a request for all ways of reading it: `request.user`, `await
    request.auser()`, decorators, `get_user`.

    Args:
        request: The request.
        user: Its new user.
    """

    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    # What Django's middleware may have cached.
    request._cached_user = request._acached_user = user  # type: ignore[attr-defined]


def anonymous() -> Any:
    """Return the anonymous user; None in a project without users."""
    if not apps.is_installed("django.contrib.auth"):
        return None
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


# By name: they cannot be imported before the apps are ready.
_MIDDLEWARE: Final = "django.contrib.auth.middleware"
_BACKENDS: Final = "django.contrib.sessions.backends."


def is_without_session(request: HttpRequest) -> bool:
    """Whether Django's own middleware has looked for a session, found none, and so will find nobody
    when somebody asks for the user.

    Asking costs 10 µs and a Vary header. False wherever anything else may know a user.
    """
    known = vars(request)
    user: Any = known.get("user")
    session: Any = known.get("session")
    if type(user) is not SimpleLazyObject or "_cached_user" in known:
        return False
    # Not by getattr, which asks the user.
    lazy = object.__getattribute__(user, "__dict__")
    return (
        lazy["_wrapped"] is empty
        and lazy["_setupfunc"].__module__ == _MIDDLEWARE
        and type(session).__module__.startswith(_BACKENDS)
        and session.session_key is None
        and "_session_cache" not in vars(session)
    )


def caller_of(request: HttpRequest) -> str | None:
    """Return the primary key of the request's user; None if nobody is logged in."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return key_of(user)


def key_of(user: Any) -> str | None:
    """Return what distinguishes a user: the primary key, or the name of a user without a model."""
    if (key := getattr(user, "pk", None)) is not None:
        return str(key)
    name = user.get_username() if hasattr(user, "get_username") else None
    return f"name:{name}" if name else None


def principal_of(request: HttpRequest) -> str | None:
    """Return the id of credentials that belong to no user, from `request.auth`; None if there are
    none.
    """
    credentials = getattr(request, "auth", None)
    if credentials is None:
        return None
    key = getattr(credentials, "pk", None)
    if key is not None:
        kind = getattr(credentials, "_meta", None)
        return f"{getattr(kind, 'label_lower', type(credentials).__qualname__)}:{key}"
    header = request.headers.get("Authorization")
    if header:
        return f"credentials:{hashlib.sha256(header.encode()).hexdigest()}"
    # Nothing identifies the credentials, so nothing is kept beyond this request.
    return f"credentials:{uuid.uuid4()}"
