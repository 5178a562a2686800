"""Verifies the access tokens that the authorization server has issued, and remembers for a short
while which of them are good."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from mcp_mount.auth.authorization.accounts import Accounts
from mcp_mount.auth.authorization.connections import Connection, ConnectionStore
from mcp_mount.auth.authorization.errors import RETRY_SECONDS
from mcp_mount.auth.authorization.events import SignInEvent
from mcp_mount.auth.authorization.grants import canonical
from mcp_mount.auth.authorization.machines import access_of, resource_digest
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.verifiers import InvalidToken, VerificationCache, digest
from mcp_mount.calls.flows import Flow, Run
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.tokens import AccessToken

logger = own_logger("mcp_mount.signin")

KNOWN_SECONDS: Final = 10.0
"""How long a process takes a connection for good without asking its store and the application: at
most so long after it was revoked, or the person's password was changed, is a token taken."""

_CLOCK_SECONDS: Final = 60.0
"""How far the clocks of two processes may be apart."""


class IssuedTokens:
    """Verifies access tokens of people's connections, and of clients for themselves.

    Args:
        options: What the application's owner has chosen.
        issuer: The issuer, if the owner has named one.
        seals: Returns what opens tokens.
        store: Returns what keeps the connections.
        accounts: Returns the accounts of the application, which may be known only when a host has
            its configuration.
    """

    def __init__(
        self,
        options: SignInOptions,
        issuer: str | None,
        *,
        seals: Callable[[], Seals],
        store: Callable[[], ConnectionStore],
        accounts: Callable[[], Accounts],
    ) -> None:
        self._clients = options.clients
        self._lifetimes = options.lifetimes
        self._issuer = issuer
        self._seals = seals
        self._store = store
        self._accounts = accounts
        self._known: VerificationCache[Connection] = VerificationCache()
        self._unrevoked: VerificationCache[bool] = VerificationCache()
        self._ended = 0

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        """What an access token says.

        Args:
            credential: The token.
            resource: The URL that it must be for, if it is known.

        Raises:
            InvalidToken: If it is none, or is not good any more.
            ProtocolError: 503, if that cannot be found out.
        """
        opened = self._seals().open_access_token(credential, self._lifetimes.access)
        if opened is None:
            return (yield from self._of_client(credential, resource))
        key = digest(opened.connection, None)
        held = self._known.get(key)
        if held is None:
            ended = self._ended
            held = yield from self._asked(opened.connection)
            if ended == self._ended:
                # Otherwise it may be this one that has ended since the store was asked.
                self._known.put(key, held, KNOWN_SECONDS)
        if resource is not None and canonical(held.resource) != canonical(resource):
            raise InvalidToken("The access token is for another server")
        if opened.sealed < held.created - _CLOCK_SECONDS:
            # Connections by an identity provider come again under the ids of those that were ended
            # and deleted.
            raise InvalidToken("The access token was revoked")
        return AccessToken(
            held.user,
            frozenset(held.scopes if opened.scopes is None else opened.scopes),
            client_id=held.client,
            issuer=self._issuer,
            expires_at=opened.sealed + self._lifetimes.access,
            claims={"connection": held.id, "client_name": held.client_name},
        )

    def forget_ended(self, event: SignInEvent) -> None:
        """Take no token of a connection that has ended in this process any more.

        Args:
            event: What has happened.
        """
        if event.connection is not None and event.kind != "tokens refreshed":
            self._ended += 1
            self._known.forget(digest(event.connection, None))
            self._unrevoked.forget(digest(event.connection, None))

    def _of_client(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        """What a token of a client for itself says.

        Raises:
            InvalidToken: If it is none, or is not good any more.
            ProtocolError: 503, if that cannot be found out.
        """
        opened = self._seals().open_client_token(credential, self._lifetimes.access)
        if opened is None:
            raise InvalidToken("The access token is not valid, or has expired")
        if resource is not None and opened.resource != resource_digest(resource):
            raise InvalidToken("The access token is for another server")
        client = self._clients.get(opened.client)
        token = access_of(opened, client, self._issuer, opened.sealed + self._lifetimes.access)
        key = digest(opened.id, None)
        if self._unrevoked.get(key) is None:
            ended = self._ended
            try:
                is_revoked = yield Run(partial(self._store().is_retired, opened.id))
            except Exception:
                logger.exception("It could not be found out whether a token was revoked")
                raise _unknown_now() from None
            if is_revoked:
                raise InvalidToken("The access token was revoked")
            if ended == self._ended:
                self._unrevoked.put(key, True, KNOWN_SECONDS)
        return token

    def _asked(self, id: str) -> Flow[Connection]:
        """The connection of an access token, which holds.

        Raises:
            InvalidToken: If it does not hold any more.
            ProtocolError: 503, if that cannot be found out.
        """
        try:
            held: Connection | None = yield Run(partial(self._store().get, id))
            stamps = () if held is None else (yield from self._accounts().stamps_of(held.user))
        except Exception:
            logger.exception("It could not be found out whether a connection holds")
            raise _unknown_now() from None
        if held is None or held.revoked is not None:
            raise InvalidToken("The access token was revoked")
        if held.stamp not in stamps:
            raise InvalidToken("The person must sign in again")
        if time.time() - held.created > self._lifetimes.connection:
            raise InvalidToken("The connection has expired")
        return held


def _unknown_now() -> ProtocolError:
    return ProtocolError(
        INTERNAL_ERROR,
        "The access token cannot be verified now",
        status=503,
        retry_after=RETRY_SECONDS,
    )
