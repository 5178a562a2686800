"""Opaque access tokens, of which their issuer is asked (RFC 7662)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mcp_mount.auth.http import Unreachable, post_form
from mcp_mount.auth.verifiers import (
    InvalidToken,
    Known,
    bearer_of,
    digest,
    is_meant_for,
    names_in,
    secure_url,
)
from mcp_mount.policies.extras import requires
from mcp_mount.protocol.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.protocol.flows import Flow, Run
from mcp_mount.protocol.logs import own_logger
from mcp_mount.protocol.tokens import AccessToken

logger = own_logger("mcp_mount")


class Introspection:
    """Bearer tokens that the introspection endpoint of an authorization server knows.

    endpoint: its URL. issuer: of the tokens, by which clients find the authorization server.
    client_id, client_secret: by which this server authenticates there. audience: what the `aud` of
    the answer must name, by default the URL of this server; False for an authorization server that
    tells no audience: only where it issues tokens for nobody else. ttl: for how long an answer is
    believed, in seconds: a token that is revoked is accepted as long. roles_claim: where roles are.

    Raises ValueError for URLs that are not secure. Needs the extra `auth`.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        issuer: str,
        client_id: str,
        client_secret: str,
        audience: str | Sequence[str] | bool = True,
        ttl: float = 30.0,
        roles_claim: str = "roles",
    ) -> None:
        with requires("auth", "auth=Introspection(…)"):
            import httpx2  # noqa: F401
        self.name = issuer
        self.authorization_servers = (secure_url(issuer, "issuer"),)
        self._endpoint = secure_url(endpoint, "endpoint")
        self._issuer = issuer
        self._auth = (client_id, client_secret)
        self._audience = [audience] if isinstance(audience, str) else audience
        self.needs_resource = audience is True
        self._ttl = ttl
        self._roles = roles_claim
        self._known: Known[AccessToken | InvalidToken] = Known()

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer_of(headers)

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        key = digest(credential, resource)
        known = self._known.get(key)
        if known is None:
            try:
                claims = yield Run(partial(self._ask, credential))
                known = self._token(claims, resource)
            except InvalidToken as error:
                # Not this one: its traceback would keep the token.
                known = InvalidToken(str(error))
            except Unreachable as error:
                logger.warning("A token cannot be introspected: %s", error)
                raise ProtocolError(
                    INTERNAL_ERROR, "The authorization server cannot be reached", status=503
                ) from None
            self._known.put(key, known, self._ttl)
        if isinstance(known, InvalidToken):
            raise InvalidToken(str(known))
        if known.expires_at is not None and known.expires_at < time.time():
            raise InvalidToken("The access token has expired")
        return known

    def _ask(self, credential: str) -> dict[str, Any]:
        form = {"token": credential, "token_type_hint": "access_token"}
        return post_form(self._endpoint, form, self._auth)

    def _token(self, claims: Mapping[str, Any], resource: str | None) -> AccessToken:
        if claims.get("active") is not True:
            raise InvalidToken("The access token is not active")
        if claims.get("iss", self._issuer) != self._issuer:
            raise InvalidToken("The access token is of another issuer")
        if self._audience is not False:
            given = () if resource is None else (resource,)
            audience = given if self._audience is True else self._audience
            if not is_meant_for(claims, audience):
                raise InvalidToken("The access token is for another resource")
        client = claims.get("client_id")
        subject = claims.get("sub") or claims.get("username") or client
        if not isinstance(subject, str | int):
            raise InvalidToken("The access token names nobody")
        expires = claims.get("exp")
        return AccessToken(
            str(subject),
            names_in(claims, "scope"),
            names_in(claims, self._roles),
            None if client is None else str(client),
            self._issuer,
            float(expires) if isinstance(expires, int | float) else None,
            claims,
        )
