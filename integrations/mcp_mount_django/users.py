"""The user of a request: who that is, and how it is set."""

from __future__ import annotations

import hashlib
import uuid
from copy import copy
from typing import Any

from django.apps import apps
from django.http import HttpRequest

from mcp_mount.auth.users import is_active as may_log_in
from mcp_mount.auth.users import is_true


def is_active(user: Any) -> bool:
    """Whether a user may log in; those of a kind that knows nothing else may, and so may nobody,
    as an anonymous user is.

    Raises:
        TypeError: If the user's own methods say neither yes nor no, as coroutine functions do.
    """
    return may_log_in(user) or is_true(user, "is_anonymous", default=False)


def as_read_anew(user: Any) -> Any:
    """A user without what they have remembered of their permissions."""
    other = copy(user)
    for name in [name for name in vars(other) if name.endswith("_perm_cache")]:
        delattr(other, name)
    return other


def set_user(request: HttpRequest, user: Any) -> None:
    """Let a user be the one of a request, whichever way code asks for it: `request.user`, `await
    request.auser()`, decorators, `get_user`.

    Args:
        request: The request.
        user: Its user from now on.
    """

    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    # What Django's middleware may have found already.
    request._cached_user = request._acached_user = user  # type: ignore[attr-defined]


def anonymous() -> Any:
    """The user of a request that nobody is known to have sent; None in a project without users."""
    if not apps.is_installed("django.contrib.auth"):
        return None
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def caller_of(request: HttpRequest) -> str | None:
    """The primary key of the request's user; None if nobody has logged in."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return key_of(user)


def key_of(user: Any) -> str | None:
    """What tells a user apart from others: the primary key, or the name of a user of no model."""
    if (key := getattr(user, "pk", None)) is not None:
        return str(key)
    name = user.get_username() if hasattr(user, "get_username") else None
    return f"name:{name}" if name else None


def principal_of(request: HttpRequest) -> str | None:
    """The id of a principal that is no user: of the credentials that an authenticator has put at
    `request.auth`; None if there are none."""
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
    # Nothing says whose they are: what is kept for this request is for nobody else.
    return f"credentials:{uuid.uuid4()}"
