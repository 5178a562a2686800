"""Who calls: how a request to a server is authenticated, and whether it may come in.

The authenticators of the setting AUTHENTICATION are asked first: authentication classes of Django
REST framework, or functions that take the request and return a user, or None. Where none of them
knows the caller, or there are none, it is whoever the project's own middleware says
(`request.user`).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property, partial
from typing import Any, Final, TypeAlias

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware

from mcp_mount.protocol import Protocol
from mcp_mount.protocol.answers import answer_of
from mcp_mount.protocol.errors import (
    INVALID_REQUEST,
    Challenge,
    ProtocolError,
    invalid_token,
    refused,
)
from mcp_mount.protocol.flows import Flow, Run
from mcp_mount.protocol.logs import own_logger
from mcp_mount.protocol.messages import Reply, Request
from mcp_mount.protocol.settings import bearer
from mcp_mount.protocol.tokens import AccessToken
from mcp_mount_django.options import imported

logger = own_logger("mcp_mount")

USER_OF_TEST: Final = "mcp_mount_django.user"
"""Where a client for tests puts its user: in the WSGI environment, or in the ASGI scope, where no
header of a request can be."""

Authenticator: TypeAlias = str | type | Callable[[HttpRequest], Any]
"""A dotted path to one, an authentication class of Django REST framework, or a function."""


class AuthenticationFailed(Exception):
    """Credentials that are wrong: an authenticator raises it, and the client gets 401."""


def bearer_token(find: Callable[[str], Any]) -> Callable[[HttpRequest], Any]:
    """Make an authenticator of a function that finds the user of a token (RFC 6750).

    A request without `Authorization: Bearer` is anonymous; a token for which `find` returns None
    is refused, as is one of a user who is not active.
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


class Authentication:
    """The way in to one server.

    authenticators: asked before the project's authentication middleware counts. login_required:
    whether anonymous requests are refused; they are where Django's LoginRequiredMiddleware is in
    use. find_user: finds the user of an access token that the server has verified, for
    `request.user`.
    """

    def __init__(
        self,
        authenticators: Authenticator | Sequence[Authenticator],
        *,
        login_required: bool,
        find_user: Callable[[AccessToken], Any] | None = None,
    ) -> None:
        self.find_user = find_user
        # One may stand alone: a text would be taken apart into its characters.
        alone = isinstance(authenticators, str) or callable(authenticators)
        given: Any = [authenticators] if alone else authenticators
        self._given: Sequence[Authenticator] = given
        self._login_required = login_required

    @cached_property
    def login_required(self) -> bool:
        """Whether anonymous requests are refused."""
        everywhere = "django.contrib.auth.middleware.LoginRequiredMiddleware"
        return self._login_required or everywhere in settings.MIDDLEWARE

    @cached_property
    def is_own(self) -> bool:
        """Whether the server has authenticators of its own."""
        return bool(self._given)

    def may_block(self, request: HttpRequest) -> bool:
        """Whether `admit`, and what depends on the user, may need the database."""
        return self.is_own or (
            hasattr(request, "user")
            and bool(
                request.COOKIES
                or "Authorization" in request.headers
                or request.META.get("REMOTE_USER")
            )
        )

    def admit(self, request: HttpRequest) -> str | None:
        """Authenticate a request: `request.user` is known from now on.

        Returns:
            The id of the user, or of the credentials of a principal that is no user, such as the
            token of a team; None for an anonymous request.

        Raises:
            ProtocolError: 401 for wrong or missing credentials, 403 for a session cookie without
                its CSRF token.
        """
        if (user := getattr(request, "scope", request.META).get(USER_OF_TEST)) is not None:
            if caller_of(request) != str(user.pk):
                # The middleware knows no sessions.
                set_user(request, _as_read_anew(user))
            return caller_of(request)
        if self._authenticate(request):
            caller = caller_of(request) or _principal_of(request)
        else:
            caller = caller_of(request)
            if caller is not None and SESSION_KEY in getattr(request, "session", ()):
                # A browser sends the cookie by itself, whoever wrote the page.
                problem = _CSRFCheck.problem(request)
                if problem is not None:
                    raise ProtocolError(INVALID_REQUEST, f"CSRF: {problem}", status=403)
        if caller is None and self.login_required:
            raise refused(known=False)
        return caller

    def let_in(self, protocol: Protocol, read: Request, request: HttpRequest) -> Flow[Reply | None]:
        """Verify the access token of a request, if the server does that; the refusal of one who
        may not come in. The token's user is `request.user` from now on."""
        refusal = yield from protocol.admit(read)
        token = read.token
        if refusal is not None or token is None:
            return refusal
        request.auth, user = token, None  # type: ignore[attr-defined]
        if self.find_user is not None:
            found = partial(self.find_user, token)
            user = yield Run(found, iscoroutinefunction(self.find_user))
            if user is None or not is_active(user):
                return protocol.refuse(invalid_token("The access token is of nobody here"), read)
            read.caller = lambda: str(user.pk)
        set_user(request, anonymous() if user is None else user)
        return None

    def challenge_for(self, request: Request, challenge: Challenge) -> str:
        """The WWW-Authenticate header for those who must come with better credentials."""
        own = (one.challenge for one in self._authenticators if one.challenge is not None)
        return next(own, None) or bearer(request, challenge)

    def load(self) -> None:
        """Import the authenticators that are named by dotted paths.

        Raises:
            ImproperlyConfigured: If one is not there.
        """
        _ = self._authenticators

    @cached_property
    def _authenticators(self) -> list[_Function | _RestFramework]:
        found: list[_Function | _RestFramework] = []
        for one in self._given:
            authenticator: Any = imported("AUTHENTICATION", one) if isinstance(one, str) else one
            if not callable(authenticator):
                raise ImproperlyConfigured(
                    f"AUTHENTICATION: {authenticator!r} is neither an authentication class nor a "
                    "function of the request"
                )
            kind = _RestFramework if isinstance(authenticator, type) else _Function
            found.append(kind(authenticator))
        return found

    def _authenticate(self, request: HttpRequest) -> bool:
        """Ask the authenticators; whether one of them knows who calls.

        Otherwise the request is left as the project's middleware has made it.

        Raises:
            ProtocolError: For credentials that are wrong.
        """
        for authenticator in self._authenticators:
            found = authenticator.authenticate(request)
            if found is not None:
                user, request.auth = found  # type: ignore[attr-defined]
                if user is None:
                    user = anonymous()
                if not is_active(user):
                    set_user(request, anonymous())
                    raise ProtocolError(
                        INVALID_REQUEST, "The credentials are not valid", status=401
                    )
                set_user(request, user)
                return True
        if self.is_own:
            request.auth = None  # type: ignore[attr-defined]
            if not hasattr(request, "user"):
                set_user(request, anonymous())
        return False


class _Function:
    """An authenticator that is a function of the request."""

    challenge = None

    def __init__(self, function: Callable[[HttpRequest], Any]) -> None:
        self._function = function

    def authenticate(self, request: HttpRequest) -> tuple[Any, Any] | None:
        try:
            user = self._function(request)
        except AuthenticationFailed as error:
            message = str(error) or "The credentials are not valid"
            raise ProtocolError(INVALID_REQUEST, message, status=401) from None
        if isinstance(user, tuple) and len(user) == 2:
            # As authentication classes do: the user, and the credentials for `request.auth`.
            return user
        try:
            return None if user is None else (answer_of(self._function, user), None)
        except TypeError as error:
            logger.error("An authenticator refuses a request: %s", error)
            message = "The credentials could not be checked"
            raise ProtocolError(INVALID_REQUEST, message, status=401) from None


class _RestFramework:
    """An authentication class of Django REST framework."""

    def __init__(self, kind: type) -> None:
        self._instance: Any = kind()

    @property
    def challenge(self) -> str | None:
        header: str | None = self._instance.authenticate_header(HttpRequest())
        return header

    def authenticate(self, request: HttpRequest) -> tuple[Any, Any] | None:
        from rest_framework.exceptions import APIException, PermissionDenied
        from rest_framework.request import Request as WrappedRequest

        try:
            found: tuple[Any, Any] | None = self._instance.authenticate(WrappedRequest(request))
        except APIException as error:
            status = 403 if isinstance(error, PermissionDenied) else 401
            raise ProtocolError(INVALID_REQUEST, str(error.detail), status=status) from None
        return found


class _CSRFCheck(CsrfViewMiddleware):
    """Django's own check, for a view that it does not stand before."""

    @classmethod
    def problem(cls, request: HttpRequest) -> str | None:
        """What is wrong with the CSRF token of a request; None if it is right."""
        check = cls(lambda request: None)  # type: ignore[arg-type]
        check.process_request(request)
        reason: Any = check.process_view(request, None, (), {})  # type: ignore[arg-type]
        return reason  # type: ignore[no-any-return]

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def is_active(user: Any) -> bool:
    """Whether a user may log in; those of a kind that knows nothing else may."""
    return bool(getattr(user, "is_active", True)) or bool(getattr(user, "is_anonymous", False))


def _as_read_anew(user: Any) -> Any:
    """A user without what they have remembered of their permissions."""
    other = copy(user)
    for name in [name for name in vars(other) if name.endswith("_perm_cache")]:
        delattr(other, name)
    return other


def set_user(request: HttpRequest, user: Any) -> None:
    """Let a user be the one of a request, whichever way code asks for it: `request.user`, `await
    request.auser()`, decorators, `get_user`."""

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
    return str(user.pk)


def _principal_of(request: HttpRequest) -> str | None:
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


class Rights:
    """What the caller of one request may, by names; each is asked once in a request.

    A list of two hundred tools with `roles=` would be two hundred queries.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._user: Any = None
        self._permissions: dict[str, bool] = {}
        self._groups: frozenset[str] | None = None

    def has_permission(self, name: str) -> bool:
        """Whether the request's user has a permission, such as "shop.view_order"."""
        user = self._current()
        if name not in self._permissions:
            self._permissions[name] = user is not None and bool(user.has_perm(name))
        return self._permissions[name]

    def has_role(self, name: str) -> bool:
        """Whether the request's user is in the group of that name."""
        user = self._current()
        if self._groups is None:
            knows_groups = user is not None and user.is_authenticated and hasattr(user, "groups")
            names = user.groups.values_list("name", flat=True) if knows_groups else ()
            self._groups = frozenset(names)
        return name in self._groups

    def has_scope(self, name: str) -> bool:
        """Whether the token of the project's own authentication has a scope, as those of
        django-oauth-toolkit do."""
        scope = getattr(getattr(self._request, "auth", None), "scope", None)
        return isinstance(scope, str) and name in scope.split()

    def _current(self) -> Any:
        """The request's user; what was known of another one is forgotten."""
        user = getattr(self._request, "user", None)
        if user is not self._user:
            self._user, self._permissions, self._groups = user, {}, None
        return user
