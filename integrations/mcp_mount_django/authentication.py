"""Who calls: how a request to a server is authenticated, and whether it may come in.

The authenticators of the setting AUTHENTICATION are asked first: authentication classes of Django
REST framework, or functions that take the request and return a user, or None. Where none of them
knows the caller, or there are none, it is whoever the project's own middleware says
(`request.user`).
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
from mcp_mount.options import OPTIONS
from mcp_mount.protocol import Protocol
from mcp_mount.protocol.settings import bearer
from mcp_mount.wire.errors import (
    INVALID_REQUEST,
    Challenge,
    ProtocolError,
    refused,
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
from mcp_mount_django.options import imported
from mcp_mount_django.users import (
    anonymous,
    as_read_anew,
    caller_of,
    key_of,
    principal_of,
    set_user,
)

USER_OF_TEST: Final = "mcp_mount_django.user"
"""Where a client for tests puts its user: in the WSGI environment, or in the ASGI scope, where no
header of a request can be."""


class Authentication:
    """The way in to one server.

    Args:
        authenticators: Asked before the project's authentication middleware counts.
        login_required: Whether anonymous requests are refused; they are where Django's
            LoginRequiredMiddleware is in use.
        find_user: Finds the user of an access token that the server has verified, for
            `request.user`.

    Raises:
        DefinitionError: For a `find_user` that is no function.
    """

    def __init__(
        self,
        authenticators: Authenticator | Sequence[Authenticator],
        *,
        login_required: bool,
        find_user: Callable[[AccessToken], Any] | None = None,
    ) -> None:
        self.find_user = OPTIONS["find_user"].check("find_user", find_user)
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
                set_user(request, as_read_anew(user))
            return caller_of(request)
        if self._authenticate(request):
            caller = caller_of(request) or principal_of(request)
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
        """Verify the access token of a request, if the server does that. The token's user is
        `request.user` from now on.

        Args:
            protocol: The server's.
            read: The request, as the protocol has it.
            request: The same, as Django has it.

        Returns:
            The refusal of one who may not come in, or None.
        """
        refusal = yield from protocol.admit(read)
        token = read.token
        if refusal is not None or token is None:
            return refusal
        request.auth, user = token, None  # type: ignore[attr-defined]
        if self.find_user is not None:
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
        """The WWW-Authenticate header for those who must come with better credentials.

        Args:
            request: The request that was refused.
            challenge: What is missing.
        """
        own = (one.challenge for one in self._authenticators if one.challenge is not None)
        return next(own, None) or bearer(request, challenge)

    def load(self) -> None:
        """Import the authenticators that are named by dotted paths.

        Raises:
            ImproperlyConfigured: If one is not there.
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
        """Ask the authenticators; whether one of them knows who calls.

        Otherwise the request is left as the project's middleware has made it.

        Raises:
            ProtocolError: For credentials that are wrong.
        """
        for authenticator in self._authenticators:
            try:
                found = authenticator.authenticate(request)
            except ProtocolError:
                # Whom middleware has found by a cookie has not sent these credentials.
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
