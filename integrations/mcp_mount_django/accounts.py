"""The accounts of a Django project, for signing in."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import resolve_url

from mcp_mount.auth.authorization.accounts import Accounts, Person
from mcp_mount.wire.tokens import AccessToken
from mcp_mount_django.connections import ModelConnections
from mcp_mount_django.users import is_active, key_of


def accounts() -> Accounts | None:
    """Return the accounts of the project; None for a project without users."""
    if not apps.is_installed("django.contrib.auth"):
        return None
    return Accounts(_person, login_url, _stamps, store=ModelConnections(), find_user=user_of_token)


def _person(request: HttpRequest) -> Person | None:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not is_active(user):
        return None
    key = key_of(user)
    return None if key is None else Person(key, user.get_username())


def login_url(path: str) -> str:
    """Return the URL of the project's login page (`LOGIN_URL`) that leads back to a path.

    Args:
        path: The path.

    Raises:
        NoReverseMatch: If `LOGIN_URL` names no URL of the project.
    """
    return redirect_to_login(path, resolve_url(settings.LOGIN_URL)).url


def _stamps(key: str) -> list[str] | None:
    user = _user(key)
    if user is None or not is_active(user):
        return None
    if not hasattr(user, "get_session_auth_hash"):
        return [""]
    # Those of older keys are good as long as SECRET_KEY_FALLBACKS has them.
    older = getattr(user, "get_session_auth_fallback_hash", tuple)
    return [user.get_session_auth_hash(), *older()]


def user_of_token(token: AccessToken) -> Any:
    """Return the user of an access token that the project has issued; None if there is none.

    Args:
        token: The access token.
    """
    return _user(token.subject)


def _user(key: str) -> Any:
    from django.contrib.auth import get_user_model

    model = get_user_model()
    try:
        return model._default_manager.get(pk=key)
    except (model.DoesNotExist, ValueError, ValidationError):
        # What is no key of this model: a UUIDField refuses it by a ValidationError.
        return None
