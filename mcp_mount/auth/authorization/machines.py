"""Access tokens of clients for themselves, where there is no person (client credentials, OAuth 2.1,
section 4.2).

They are sealed, and no row is kept for them. One that was revoked is kept as a retired id until it
would have expired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from mcp_mount.auth.authorization.accounts import CLIENT_PREFIX
from mcp_mount.auth.authorization.configured_clients import Client
from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.errors import OAuthError
from mcp_mount.auth.authorization.events import Events, SignInEvent
from mcp_mount.auth.authorization.grants import ask_store, canonical, check_resources
from mcp_mount.auth.authorization.sealed import ClientClaims, Seals
from mcp_mount.auth.authorization.token_requests import KnownClient, TokenRequest
from mcp_mount.auth.verifiers import InvalidToken
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.sealing import MAX_AHEAD
from mcp_mount.wire.tokens import AccessToken

CLIENT_CREDENTIALS: Final = "client_credentials"


class ClientTokens:
    """Issues such tokens, and revokes them.

    Args:
        seals: Seals and opens them.
        store: Knows which ones were revoked.
        scopes: The scopes that there are.
        access: How long they are good, in seconds.
        events: Is told.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        seals: Seals,
        store: ConnectionStore,
        scopes: Mapping[str, str],
        access: float,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        self._seals = seals
        self._store = store
        self._scopes = scopes
        self._access = access
        self._events = events
        self._clock = clock

    def issue(self, asked: TokenRequest) -> dict[str, Any]:
        """The token response for a client that has authenticated.

        Args:
            asked: Who asks, and for what.

        Raises:
            OAuthError: For a client, a resource or scopes for which there are none.
        """
        own, stamp = asked.client.own, asked.client.stamp
        if own is None or stamp is None or CLIENT_CREDENTIALS not in own.grants:
            raise OAuthError("unauthorized_client", "The client may not act for itself")
        check_resources(asked.resources, asked.web.resource)
        known = [one for one in self._scopes if one in (own.scopes or ())]
        # Clients ask for all scopes that a server knows: they get those that are theirs.
        scopes = [one for one in known if one in asked.scopes] if asked.scopes else known
        if asked.scopes and not scopes and self._scopes:
            raise OAuthError("invalid_scope", "The client may have none of these scopes")
        id = token_urlsafe(12)
        token = self._seals.client_token(
            id,
            own.id,
            None if scopes == known else scopes,
            stamp,
            resource_digest(asked.web.resource),
        )
        self._tell("tokens issued", own, id, scopes, asked.web.address)
        response: dict[str, Any] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self._access),
        }
        if scopes:
            response["scope"] = " ".join(scopes)
        return response

    def revoke(self, token: str, client: KnownClient, address: str | None) -> Flow[None]:
        """Revoke a token (RFC 7009). One that is not the client's changes nothing."""
        opened = self._seals.open_client_token(token, self._access)
        if opened is None or client.own is None or opened.client != client.id:
            return
        # Another process may take the token for good for so much longer.
        until = self._clock() + self._access + MAX_AHEAD
        if (yield from ask_store(self._store.retire, opened.id, until)):
            self._tell("token revoked", client.own, opened.id, opened.scopes or (), address)

    def _tell(self, kind: Any, own: Client, id: str, scopes: Any, address: str | None) -> None:
        self._events.tell(
            SignInEvent(kind, client=own.name, connection=id, scopes=tuple(scopes), address=address)
        )


def access_of(
    claims: ClientClaims, client: Client | None, issuer: str | None, expires_at: float
) -> AccessToken:
    """What a token of a client for itself says.

    Args:
        claims: What it holds.
        client: The client, if it is still configured.
        issuer: The issuer.
        expires_at: When it expires, in seconds since the epoch.

    Raises:
        InvalidToken: If the client may not use it any more.
    """
    if client is None or CLIENT_CREDENTIALS not in client.grants:
        raise InvalidToken("The client of the access token may not act for itself any more")
    if claims.stamp not in client.stamps:
        raise InvalidToken("The secret or the keys of the client were replaced")
    scopes = client.scopes or frozenset()
    return AccessToken(
        f"{CLIENT_PREFIX}{client.id}",
        scopes if claims.scopes is None else scopes & frozenset(claims.scopes),
        client_id=client.id,
        issuer=issuer,
        expires_at=expires_at,
        claims={"client_name": client.name},
        is_client=True,
    )


def resource_digest(url: str) -> str:
    """What a token says of the MCP endpoint that it is for."""
    return sha256(canonical(url).encode("utf-8", "surrogatepass")).hexdigest()[:16]
