"""Codes and refresh tokens into access tokens (OAuth 2.1, sections 4.1.3 and 4.3)."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final

from mcp_mount.auth.authorization.accounts import Accounts
from mcp_mount.auth.authorization.connections import Connection, ConnectionStore
from mcp_mount.auth.authorization.errors import (
    OAuthError,
    PersonRefused,
    invalid_client,
    invalid_grant,
    unavailable,
)
from mcp_mount.auth.authorization.events import Events, Kind, SignInEvent
from mcp_mount.auth.authorization.sealed import Code, Seals
from mcp_mount.auth.authorization.token_requests import KnownClient, TokenRequest
from mcp_mount.calls.flows import Flow, Run
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount.signin")

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
"""RFC 7636, section 4.1."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things are good, in seconds.

    Args:
        access: Access tokens.
        refresh: Refresh tokens that are not used.
        connection: A connection as a whole.
        grace: How long a refresh token that was replaced is still taken: clients in two windows
            refresh at once, and answers get lost. 0 takes it once only.
    """

    access: float = 3600.0
    refresh: float = 30 * 24 * 3600.0
    connection: float = 180 * 24 * 3600.0
    grace: float = 60.0


class Grants:
    """Turns codes and refresh tokens into access tokens.

    Args:
        seals: Opens and seals them.
        store: Keeps the connections.
        lifetimes: How long they are good.
        events: Is told.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        seals: Seals,
        store: ConnectionStore,
        lifetimes: Lifetimes,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        self._seals = seals
        self._store = store
        self._lifetimes = lifetimes
        self._events = events
        self._clock = clock

    def redeem(
        self,
        code: str,
        asked: TokenRequest,
        *,
        verifier: str | None,
        redirect_uri: str | None,
    ) -> Flow[dict[str, Any]]:
        """Redeem an authorization code.

        Args:
            code: The code.
            asked: Who asks, and for what.
            verifier: The code verifier (RFC 7636).
            redirect_uri: The redirect URI, if the client repeats it.

        Returns:
            The token response.

        Raises:
            OAuthError: If it is not good, or was redeemed before.
        """
        held = self._seals.open_code(code)
        if held is None or held.client != asked.client.digest:
            raise invalid_grant("The code is not valid, or has expired")
        _check_signed(held.signs, asked.client)
        if redirect_uri is not None and redirect_uri != held.redirect_uri:
            raise invalid_grant("The redirect URI is not that of the authorization request")
        if verifier is None:
            raise OAuthError("invalid_request", "The code_verifier is missing")
        if not _VERIFIER.fullmatch(verifier) or not _fits(verifier, held.challenge):
            raise invalid_grant("The code_verifier does not fit the code_challenge")
        check_resources(asked.resources, held.resource)
        yield from self._check_person(held.user, held.stamp, asked.web.accounts)
        now = self._clock()
        made = _connection(held, now)
        if not (yield from self._ask(self._store.add, made)):
            # RFC 6749, section 4.1.2: the tokens of a code that comes twice are revoked.
            yield from self._ask(self._store.revoke, made.id, now)
            self._tell("code reused", made, asked.web.address)
            raise invalid_grant("The code was redeemed before")
        self._tell("tokens issued", made, asked.web.address)
        return self._tokens(made, signs=asked.client.signed)

    def refresh(self, token: str, asked: TokenRequest) -> Flow[dict[str, Any]]:
        """Replace a refresh token, and issue an access token.

        Args:
            token: The refresh token.
            asked: Who asks, and for what.

        Returns:
            The token response.

        Raises:
            OAuthError: If it is not good any more, or was used before.
        """
        opened = self._seals.open_refresh_token(token, self._lifetimes.refresh)
        held = (
            None if opened is None else (yield from self._ask(self._store.get, opened.connection))
        )
        now = self._clock()
        client, address = asked.client, asked.web.address
        if (
            opened is None
            or held is None
            or held.client != client.digest
            or held.revoked is not None
        ):
            raise invalid_grant("The refresh token is not valid, has expired, or was revoked")
        _check_signed(opened.signs, client)
        if now - held.created > self._lifetimes.connection:
            self._tell("connection ended", held, address, "it is too old")
            raise invalid_grant("The connection has expired: the person must sign in again")
        check_resources(asked.resources, held.resource)
        if not set(asked.scopes) <= set(held.scopes):
            raise OAuthError("invalid_scope", "No more scopes than were granted can be asked for")
        try:
            stamp = yield from self._check_person(held.user, held.stamp, asked.web.accounts)
        except PersonRefused:
            yield from self._ask(self._store.revoke, held.id, now)
            self._tell("connection ended", held, address, "the person may not come any more")
            raise
        generation = opened.generation
        if generation == held.generation:
            if (yield from self._ask(self._store.rotate, held.id, generation, now, stamp)):
                self._tell("tokens refreshed", held, address)
                return self._tokens(held, generation + 1, asked.scopes, signs=client.signed)
            # Somebody else did so in the meantime.
            held = yield from self._ask(self._store.get, held.id)
        if (
            held is not None
            and held.revoked is None
            and generation == held.generation - 1
            # Whoever came first may have noted a later time than this one has.
            and self._lifetimes.grace > 0
            and now - held.used <= self._lifetimes.grace
        ):
            # A second window, or a client that did not get the answer: it gets the same generation.
            return self._tokens(held, held.generation, asked.scopes, signs=client.signed)
        if held is not None and held.revoked is None:
            # OAuth 2.1, section 4.3.1: one of two holders has stolen it.
            yield from self._ask(self._store.revoke, held.id, now)
            self._tell("refresh token reused", held, address)
        raise invalid_grant("The refresh token was used before")

    def client_of(self, token: str) -> Flow[str | None]:
        """The digest of the id of the client that a code or a token was issued to; None for what is
        none. People have consented to that client.

        Args:
            token: A code, a refresh token or an access token.
        """
        code = self._seals.open_code(token)
        if code is not None:
            return code.client
        held = yield from self._held(token)
        return None if held is None else held.client

    def _held(self, token: str) -> Flow[Connection | None]:
        """The connection of a token."""
        refresh = self._seals.open_refresh_token(token, self._lifetimes.connection)
        access = self._seals.open_access_token(token, self._lifetimes.connection)
        opened = refresh or access
        return (
            None if opened is None else (yield from self._ask(self._store.get, opened.connection))
        )

    def revoke(self, token: str, client: KnownClient, address: str | None) -> Flow[None]:
        """Revoke the connection of a token (RFC 7009). A token that is not good changes nothing.

        Args:
            token: An access token or a refresh token.
            client: The client.
            address: Its address.

        Raises:
            OAuthError: For a client that should have authenticated.
        """
        held = yield from self._held(token)
        if held is not None and held.client == client.digest:
            refresh = self._seals.open_refresh_token(token, self._lifetimes.connection)
            _check_signed(refresh is not None and refresh.signs, client)
            yield from self.end(held, address)

    def end(self, connection: Connection, address: str | None) -> Flow[None]:
        """Revoke a connection."""
        if (yield from self._ask(self._store.revoke, connection.id, self._clock())):
            self._tell("connection revoked", connection, address)

    def _check_person(self, user: str, stamp: str, accounts: Accounts) -> Flow[str]:
        """Refuse a person who may not come any more.

        Returns:
            The newest stamp of the person.

        Raises:
            PersonRefused: For such a person.
            OAuthError: 503, if that cannot be found out.
        """
        stamps = yield from stamps_now(accounts, user)
        if stamp not in stamps:
            raise PersonRefused
        return stamps[0]

    def _tokens(
        self,
        connection: Connection,
        generation: int = 0,
        wanted: Sequence[str] = (),
        *,
        signs: bool,
    ) -> dict[str, Any]:
        """The token response.

        Args:
            connection: The connection.
            generation: That of the refresh token.
            wanted: The scopes that the access token is to have; none for all that were granted.
            signs: Whether the client has authenticated by a key, which it must do from now on.
        """
        scopes = [one for one in connection.scopes if one in wanted]
        response: dict[str, Any] = {
            "access_token": self._seals.access_token(connection.id, scopes or None),
            "token_type": "Bearer",
            "expires_in": int(self._lifetimes.access),
            "refresh_token": self._seals.refresh_token(connection.id, generation, signs=signs),
        }
        if connection.scopes:
            response["scope"] = " ".join(scopes or connection.scopes)
        return response

    def access_only(self, connection: Connection) -> dict[str, Any]:
        """The token response for a connection that has no refresh tokens."""
        response = self._tokens(connection, signs=False)
        del response["refresh_token"]
        return response

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Flow[Any]:
        return (yield from ask_store(function, *arguments))

    def _tell(
        self, kind: Kind, connection: Connection, address: str | None, detail: str = ""
    ) -> None:
        self._events.tell(event_of(kind, connection, address, detail))


def ask_store(function: Callable[..., Any], *arguments: Any) -> Flow[Any]:
    """Do an operation of a store, which may block.

    Raises:
        OAuthError: 503, if it fails.
    """
    try:
        return (yield Run(partial(function, *arguments)))
    except Exception:
        logger.exception("The store of connections failed")
        raise unavailable() from None


def stamps_now(accounts: Accounts, user: str) -> Flow[Sequence[str]]:
    """The stamps that are good for a person.

    Raises:
        OAuthError: 503, if that cannot be found out.
    """
    try:
        return (yield from accounts.stamps_of(user))
    except Exception:
        logger.exception("It could not be found out whether a person may come")
        raise unavailable() from None


def event_of(
    kind: Kind, connection: Connection, address: str | None, detail: str = ""
) -> SignInEvent:
    """What happened to a connection."""
    return SignInEvent(
        kind,
        connection.user,
        connection.client_name,
        connection.client_host,
        connection.id,
        connection.scopes,
        address,
        detail,
    )


def _connection(code: Code, now: float) -> Connection:
    return Connection(
        id=code.connection,
        user=code.user,
        client=code.client,
        client_name=code.client_name,
        client_host=code.client_host,
        resource=code.resource,
        scopes=tuple(code.scopes),
        stamp=code.stamp,
        created=now,
        used=now,
    )


def _check_signed(signs: bool, client: KnownClient) -> None:
    """Refuse a client that has not authenticated, where the one that it is said to be does.

    Raises:
        OAuthError: For such a client: it may have stolen a code or a token.
    """
    if signs and not client.signed:
        raise invalid_client("The client must authenticate (private_key_jwt)")


def _fits(verifier: str, challenge: str) -> bool:
    """Whether a code verifier is that of a challenge, by S256 (RFC 7636, section 4.6), whose digest
    a code holds."""
    made = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(sha256(made).hexdigest(), challenge)


def check_resources(named: Sequence[str], resource: str) -> None:
    """Refuse a token request for other resources than was consented to (RFC 8707, section 2.2).

    Raises:
        OAuthError: For another one.
    """
    if any(not is_resource(one, resource) for one in named):
        raise OAuthError("invalid_target", "The resource is not that of the authorization request")


def is_resource(named: str, resource: str) -> bool:
    """Whether a client's `resource` means the MCP endpoint: by its URL, with or without a slash at
    the end, or by its origin, which clients name that know no more."""
    wanted = canonical(resource)
    return canonical(named) in (wanted, "/".join(wanted.split("/")[:3]))


def canonical(url: str) -> str:
    """A URL for comparison: its host in lower case, without the usual port and a slash at the end
    (RFC 3986, section 6.2.2; basic/authorization, "Canonical Server URI")."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    scheme, authority = scheme.lower(), authority.lower()
    authority = authority.removesuffix({"https": ":443", "http": ":80"}.get(scheme, ":"))
    return f"{scheme}{separator}{authority}{slash}{path}".rstrip("/")
