"""Opaque access tokens, of which their issuer is asked (RFC 7662)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from mcp_mount.auth.fetching import Fetcher, unreachable
from mcp_mount.auth.http import Unreachable, deadline, post_form
from mcp_mount.auth.verifiers import (
    MAX_CREDENTIAL,
    InvalidToken,
    VerificationCache,
    bearer_of,
    digest,
    is_meant_for,
    moment_in,
    names_in,
    refuse_bound,
    secure_url,
    text_in,
)
from mcp_mount.calls.flows import Flow
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.names import naming_options
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.tokens import AccessToken

logger = own_logger("mcp_mount")


_DOWN_SECONDS: Final = 2.0
"""How long an endpoint is left alone that has not answered."""


class Introspection:
    """Bearer tokens that an authorization server introspects (RFC 7662). Needs the extra `auth`.

    Args:
        endpoint: The URL of its introspection endpoint.
        issuer: The issuer of the tokens, by which clients find the authorization server.
        client_id: The id by which this server authenticates at the endpoint.
        client_secret: The secret that goes with it.
        audience: What the `aud` of the answer must name; by default the URL of this server. False
            for an authorization server that reports no audience: only if it issues tokens for
            nobody else.
        ttl: How long an answer is believed, in seconds; a revoked token is accepted as long.
        roles_claim: The claim with the roles.

    Raises:
        ValueError: If a URL is not secure.
    """

    @naming_options
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
        self._known: VerificationCache[AccessToken] = VerificationCache()
        self._refused: VerificationCache[InvalidToken] = VerificationCache()
        self._fetcher = Fetcher()
        self._down_until = float("-inf")

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer_of(headers)

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        if len(credential) > MAX_CREDENTIAL:
            raise InvalidToken("The access token is too long")
        key = digest(credential, resource)
        known = self._known.get(key) or self._refused.get(key)
        if known is None:
            if time.monotonic() < self._down_until:
                # It did not answer just now: who asks again only waits.
                raise unreachable()
            ask = partial(self._ask, key, credential, resource)
            known = yield from self._fetcher.answer(key, ask)
        if isinstance(known, InvalidToken):
            raise InvalidToken(str(known))
        if known.expires_at is not None and known.expires_at < time.time():
            raise InvalidToken("The access token has expired")
        return known

    def _ask(self, key: bytes, credential: str, resource: str | None) -> AccessToken | InvalidToken:
        """The verdict of the endpoint on a token, which is remembered.

        Raises:
            ProtocolError: 503, if the endpoint does not answer.
        """
        form = {"token": credential, "token_type_hint": "access_token"}
        try:
            claims = post_form(self._endpoint, form, self._auth, deadline())
            token = self._token(claims, resource)
        except InvalidToken as error:
            # Not this one: its traceback would keep the token. Apart from good ones, which made-up
            # tokens must not push out.
            refusal = InvalidToken(str(error))
            self._refused.put(key, refusal, self._ttl)
            return refusal
        except Unreachable as error:
            logger.warning("A token cannot be introspected: %s", error)
            self._down_until = time.monotonic() + _DOWN_SECONDS
            raise unreachable() from None
        self._known.put(key, token, self._ttl)
        return token

    def _token(self, claims: Mapping[str, Any], resource: str | None) -> AccessToken:
        if claims.get("active") is not True:
            raise InvalidToken("The access token is not active")
        if claims.get("iss", self._issuer) != self._issuer:
            raise InvalidToken("The access token is of another issuer")
        refuse_bound(claims)
        if self._audience is not False:
            given = () if resource is None else (resource,)
            audience = given if self._audience is True else self._audience
            if not is_meant_for(claims, audience):
                raise InvalidToken("The access token is for another resource")
        client = text_in(claims, "client_id")
        subject = text_in(claims, "sub") or text_in(claims, "username") or client
        if subject is None:
            raise InvalidToken("The access token names nobody")
        return AccessToken(
            subject,
            names_in(claims, "scope"),
            names_in(claims, self._roles),
            client,
            self._issuer,
            None if claims.get("exp") is None else moment_in(claims, "exp"),
            claims,
        )
