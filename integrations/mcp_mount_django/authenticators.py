"""Authenticators, which identify callers: functions of the request, and authentication classes of
Django REST framework.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import DataError
from django.http import Http404, HttpRequest

from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    ProtocolError,
    access_denied,
)
from mcp_mount.wire.logs import own_logger
from mcp_mount_django.users import is_active

logger = own_logger("mcp_mount")

_NOT_VALID: Final = "The credentials are not valid"
_UNCHECKED: Final = "The credentials could not be checked"

Authenticator: TypeAlias = str | type | Callable[[HttpRequest], Any]
"""A dotted path, an authentication class of Django REST framework, or a function of the request."""


class AuthenticationFailed(Exception):
    """Raised by an authenticator if credentials are wrong: the client gets 401."""


def bearer_token(find: Callable[[str], Any]) -> Callable[[HttpRequest], Any]:
    """Make an authenticator for bearer tokens (RFC 6750).

    A request without `Authorization: Bearer` is anonymous.

    Args:
        find: A function that takes a token and returns its user. If it returns None, raises
            `DoesNotExist`, or returns a user who is not active, the request is refused.

    Returns:
        The authenticator, for `authentication=` or AUTHENTICATION.
    """

    def authenticate(request: HttpRequest) -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = find(token.strip())
        if user is None or not is_active(user):
            raise AuthenticationFailed("The token is not valid")
        return user

    return authenticate


class FunctionAuthenticator:
    """An authenticator that is a function of the request.

    Args:
        function: The function, which returns a user, a pair of user and credentials, or None.
    """

    challenge = None

    def __init__(self, function: Callable[[HttpRequest], Any]) -> None:
        self._function = function

    def authenticate(self, request: HttpRequest) -> tuple[Any, Any] | None:
        """Call the function, and return the user and the credentials, or None if it knows neither.

        Raises:
            ProtocolError: If the credentials are wrong.
        """
        try:
            found = self._function(request)
        # Libraries made for the command line raise SystemExit, which would end the web server's
        # worker.
        except (Exception, SystemExit) as error:
            raise _refusal_of(error) from None
        if found is None:
            return None
        return _pair_of(self._function, found)


class RESTAuthenticator:
    """An authentication class of Django REST framework, as an authenticator.

    Args:
        kind: The class.
    """

    def __init__(self, kind: type) -> None:
        self._instance: Any = kind()

    @property
    def challenge(self) -> str | None:
        """Return the WWW-Authenticate header of the class."""
        header: str | None = self._instance.authenticate_header(HttpRequest())
        return header

    def authenticate(self, request: HttpRequest) -> tuple[Any, Any] | None:
        """Ask the class, and return the user and the credentials, or None if it knows neither.

        Raises:
            ProtocolError: If the credentials are wrong.
        """
        from rest_framework.request import Request as WrappedRequest

        try:
            found: Any = self._instance.authenticate(WrappedRequest(request))
        except (Exception, SystemExit) as error:
            raise _refusal_of(error) from None
        if found is None:
            return None
        return _pair_of(self._instance.authenticate, found)


def _pair_of(function: Callable[..., Any], found: Any) -> tuple[Any, Any]:
    """Return the user that an authenticator has found and the credentials for `request.auth`.

    An authenticator returns both, as authentication classes do, or only the user. The user is None
    for credentials that belong to no user.

    Raises:
        ProtocolError: If it has found something that is not a user, or an inactive user.
    """
    is_pair = isinstance(found, tuple) and len(found) == 2
    user, credentials = found if is_pair else (found, None)
    try:
        _check_user(function, user)
    except TypeError as error:
        logger.error("An authenticator refused a request: %s", error)
        raise ProtocolError(INVALID_REQUEST, _UNCHECKED, status=401) from None
    try:
        is_known = user is None or is_active(user)
    except (Exception, SystemExit) as error:
        raise _refusal_of(error) from None
    if not is_known:
        raise ProtocolError(INVALID_REQUEST, _NOT_VALID, status=401)
    return user, credentials


def may_come(function: Callable[..., Any], user: Any) -> bool:
    """Whether what `find_user` has returned is a user who is let in.

    Args:
        function: The function, which the error names.
        user: What it returned.

    Raises:
        TypeError: If it is not a user.
    """
    _check_user(function, user)
    return is_active(user)


def _check_user(function: Callable[..., Any], user: Any) -> None:
    """Raise TypeError for anything but a user or None."""
    if user is not None and not hasattr(answer_of(function, user), "is_authenticated"):
        name = getattr(function, "__qualname__", None) or repr(function)
        raise TypeError(
            f"{name} returned {type(user).__name__}, which is not a user: it must return a user, "
            "which has is_authenticated, or None"
        )


def is_unknown(error: BaseException) -> bool:
    """Whether an exception means that a key is unknown: `get` has found no row, or the key is
    invalid, as "x" is for a number.

    The log mentions the exception, because a bug in the project may raise the same.
    """
    if isinstance(error, ObjectDoesNotExist | Http404):
        logger.info("Credentials were refused: %s: %s", type(error).__name__, error)
        return True
    if isinstance(error, ValidationError | ValueError | DataError):
        logger.warning("Credentials were refused because of an exception", exc_info=error)
        return True
    return False


def _refusal_of(error: BaseException) -> ProtocolError:
    """Return the error for credentials with which an authenticator has raised an exception."""
    if isinstance(error, AuthenticationFailed):
        return ProtocolError(INVALID_REQUEST, str(error) or _NOT_VALID, status=401)
    if isinstance(error, PermissionDenied):
        return access_denied(known=True)
    # If the module was never imported, no authenticator can have raised one of its exceptions.
    rest_framework: Any = sys.modules.get("rest_framework.exceptions")
    if rest_framework is not None and isinstance(error, rest_framework.APIException):
        status = 403 if isinstance(error, rest_framework.PermissionDenied) else 401
        return ProtocolError(INVALID_REQUEST, str(error.detail), status=status)
    if is_unknown(error):
        return ProtocolError(INVALID_REQUEST, _NOT_VALID, status=401)
    logger.error("An authenticator has failed", exc_info=error)
    return ProtocolError(INTERNAL_ERROR, _UNCHECKED, status=503)
