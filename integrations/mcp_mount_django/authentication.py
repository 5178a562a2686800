"""How requests to a server are authenticated, and which are let in.

The authenticators of the setting AUTHENTICATION come first: authentication classes of Django REST
framework, or functions that take the request and return a user or None. If none of them knows the
caller, the server uses the user of the project's middleware (`request.user`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware

from mcp_mount.auth.users import user_of
from mcp_mount.calls.flows import Flow
from mcp_mount.options import value_of
from mcp_mount.protocol import Protocol
from mcp_mount.protocol.settings import bearer
from mcp_mount.schemas.values import flag
from mcp_mount.wire.errors import (
    INVALID_REQUEST,
    Challenge,
    ProtocolError,
    access_denied,
)
from mcp_mount.wire.messages import Reply, Request
from mcp_mount.wire.tokens import AccessToken
from mcp_mount_django.authenticators import (
    Authenticator,
    FunctionAuthenticator,
    RESTAuthenticator,
    is_unknown,
    may_come,
)
from mcp_mount_django.options import authenticators as several
from mcp_mount_django.options import imported
from mcp_mount_django.users import (
    anonymous,
    as_read_anew,
    caller_of,
    is_without_session,
    key_of,
    principal_of,
    set_user,
)

USER_OF_TEST: Final = "mcp_mount_django.user"
"""The key with the user of a test client, in the WSGI environ or the ASGI scope, where no header of
a request can be.
"""


class Authentication:
    """The authentication of one server.

    Args:
        authenticators: Asked before the project's authentication middleware.
        login_required: Whether anonymous requests are refused. They always are if the project uses
            Django's LoginRequiredMiddleware.
        find_user: Finds the user of an access token that the server has verified, for
            `request.user`.

    Attributes:
        find_user: As the argument; None if such a token has no user.

    Raises:
        DefinitionError: If an argument has an invalid value.
    """

    def __init__(
        self,
        authenticators: Authenticator | Sequence[Authenticator],
        *,
        login_required: bool,
        find_user: Callable[[AccessToken], Any] | None = None,
    ) -> None:
        self.find_user: Callable[[AccessToken], Any] | None = value_of("find_user", find_user)
        self._given: Sequence[Authenticator] = several("authentication", authenticators)
        self._login_required = flag("login_required", login_required)

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
        """Whether `admit`, or anything that depends on the user, may need the database."""
        return self.is_own or (
            hasattr(request, "user")
            and bool(
                # Not request.headers, which is made of all of them at the first look (11 µs).
                "HTTP_AUTHORIZATION" in request.META
                or request.META.get("REMOTE_USER")
                or request.COOKIES
            )
        )

    def admit(self, request: HttpRequest) -> str | None:
        """Authenticate a request and set `request.user`.

        Returns:
            The id of the user, or of credentials that belong to no user, such as the token of a
            team; None for an anonymous request.

        Raises:
            ProtocolError: 401 for wrong or missing credentials, 403 for a session cookie without
                its CSRF token.
        """
        if (user := getattr(request, "scope", request.META).get(USER_OF_TEST)) is not None:
            if caller_of(request) != str(user.pk):
                # The project has no session middleware.
                set_user(request, as_read_anew(user))
            return caller_of(request)
        if self._authenticate(request):
            caller = caller_of(request) or principal_of(request)
        elif is_without_session(request):
            caller = None
        else:
            caller = caller_of(request)
            if caller is not None and SESSION_KEY in getattr(request, "session", ()):
                # A browser sends the cookie with requests from any page.
                problem = _CSRFCheck.problem(request)
                if problem is not None:
                    raise ProtocolError(INVALID_REQUEST, f"CSRF: {problem}", status=403)
        if caller is None and self.login_required:
            raise access_denied(known=False)
        return caller

    def let_in(self, protocol: Protocol, read: Request, request: HttpRequest) -> Flow[Reply | None]:
        """Verify the access token of a request, if the server verifies tokens, and set its user as
        `request.user`.

        Args:
            protocol: The server's protocol.
            read: The request, as the protocol reads it.
            request: The same request, as Django's.

        Returns:
            The response to a caller who is refused, or None.
        """
        refusal = yield from protocol.admit(read)
        token = read.token
        if refusal is not None or token is None:
            return refusal
        request.auth, user = token, None  # type: ignore[attr-defined]
        if self.find_user is not None and not token.is_client:
            try:
                user = yield from user_of(
                    token,
                    self.find_user,
                    may_come=partial(may_come, self.find_user),
                    is_unknown=is_unknown,
                )
            except ProtocolError as error:
                return protocol.refuse(error, read)
            key = key_of(user) if user.is_authenticated else None
            if key is not None:
                read.caller = lambda: key
        set_user(request, anonymous() if user is None else user)
        return None

    def challenge_for(self, request: Request, challenge: Challenge) -> str:
        """Return the WWW-Authenticate header for callers who need other credentials.

        Args:
            request: The request that was refused.
            challenge: What is missing.
        """
        own = (one.challenge for one in self._authenticators if one.challenge is not None)
        return next(own, None) or bearer(request, challenge)

    def load(self) -> None:
        """Import the authenticators that are given as dotted paths.

        Raises:
            ImproperlyConfigured: If one does not exist.
        """
        _ = self._authenticators

    @cached_property
    def _authenticators(self) -> list[FunctionAuthenticator | RESTAuthenticator]:
        found: list[FunctionAuthenticator | RESTAuthenticator] = []
        for one in self._given:
            authenticator: Any = imported("AUTHENTICATION", one) if isinstance(one, str) else one
            if not callable(authenticator):
                raise ImproperlyConfigured(
                    f"AUTHENTICATION: {authenticator!r} is neither an authentication class nor a "
                    "function of the request"
                )
            kind = RESTAuthenticator if isinstance(authenticator, type) else FunctionAuthenticator
            found.append(kind(authenticator))
        return found

    def _authenticate(self, request: HttpRequest) -> bool:
        """Ask the authenticators, and return whether one of them knows the caller.

        If none does, the request keeps the user of the project's middleware.

        Raises:
            ProtocolError: If the credentials are wrong.
        """
        for authenticator in self._authenticators:
            try:
                found = authenticator.authenticate(request)
            except ProtocolError:
                # A user whom the middleware has found by a cookie has not sent these credentials.
                set_user(request, anonymous())
                raise
            if found is not None:
                user, request.auth = found  # type: ignore[attr-defined]
                set_user(request, anonymous() if user is None else user)
                return True
        if self.is_own:
            request.auth = None  # type: ignore[attr-defined]
            if not hasattr(request, "user"):
                set_user(request, anonymous())
        return False


class _CSRFCheck(CsrfViewMiddleware):
    """Django's own CSRF check, for a view that its middleware exempts."""

    @classmethod
    def problem(cls, request: HttpRequest) -> str | None:
        """Return what is wrong with the CSRF token of a request, or None."""
        check = cls(lambda request: None)  # type: ignore[arg-type]
        check.process_request(request)
        reason: Any = check.process_view(request, None, (), {})  # type: ignore[arg-type]
        return reason  # type: ignore[no-any-return]

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason
