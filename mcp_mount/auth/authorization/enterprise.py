"""Enterprise-managed authorization: an identity provider vouches for a person, and nobody has to
consent (the ID-JAG of draft-ietf-oauth-identity-assertion-authz-grant, by RFC 7523)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib import import_module
from secrets import token_urlsafe
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic_core import to_json

from mcp_mount.auth.authorization.accounts import answered, checked_person
from mcp_mount.auth.authorization.assertions import (
    AssertionRefused,
    check_audience,
    check_times,
    refusal,
    unverified,
    use_once,
    verified,
)
from mcp_mount.auth.authorization.configured_clients import Client
from mcp_mount.auth.authorization.connections import Connection, ConnectionStore
from mcp_mount.auth.authorization.errors import OAuthError, invalid_grant, unavailable
from mcp_mount.auth.authorization.events import Events
from mcp_mount.auth.authorization.grants import (
    Grants,
    ask_store,
    canonical,
    check_resources,
    event_of,
    stamps_now,
)
from mcp_mount.auth.authorization.token_requests import TokenRequest
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.auth.signing_keys import ASYMMETRIC, SigningKeys, of_issuer
from mcp_mount.auth.verifiers import secure_url
from mcp_mount.calls.flows import Flow
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import naming_options, several_names, suggestion
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount.signin")

MAX_SECONDS: Final = 3600.0
"""How long an assertion may be good; identity providers give it a few minutes."""

_KIND: Final = "oauth-id-jag+jwt"

_MAX_ENDED: Final = 16
"""How many ended connections of a person with a client are passed over."""

FindByClaims: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Of the claims of an assertion: the id of the person here, or a `Person`; None for nobody."""


class IDJAG:
    """An identity provider whose assertions let people in, for `SignIn(enterprise=…)`.

    The assistant brings an Identity Assertion JWT Authorization Grant (ID-JAG), by which the
    provider says who the person is, and what the assistant may do. Needs the extra `auth`.

    Args:
        issuer: The `iss` of its assertions.
        find_user: Of the claims of an assertion: the id of the person in the application, or a
            `Person`; None for nobody here. It may be a coroutine function. Go by `iss` and `sub`
            (and by the tenant, where one issuer has several): who may change an e-mail address at
            the provider could be anybody.
        jwks_uri: The URL of its keys; by default what its metadata say.
        algorithms: The algorithms that it may sign by; never "none" or HMAC.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
        MissingExtra: If the extra is not installed.
        ValueError: For a URL or an algorithm that is not secure.
    """

    @naming_options
    def __init__(
        self,
        issuer: str,
        find_user: FindByClaims,
        *,
        jwks_uri: str | None = None,
        algorithms: str | Sequence[str] = ASYMMETRIC,
    ) -> None:
        with requires("auth", "enterprise=IDJAG(…)"):
            import_module("jwt")
            import_module("cryptography")
            import_module("httpx2")
        self.issuer = secure_url(issuer, "issuer")
        if not callable(find_user):
            raise DefinitionError("find_user of IDJAG is a function of the claims")
        self.find_user = find_user
        self.algorithms = frozenset(several_names("algorithms", algorithms))
        for one in sorted(self.algorithms):
            if one not in ASYMMETRIC:
                raise ValueError(f"algorithms names {one!r}; {suggestion(one, ASYMMETRIC)}")
        if not self.algorithms:
            raise ValueError("algorithms must name some")
        self.keys = SigningKeys(issuer, of_issuer(issuer, jwks_uri))


def providers_of(enterprise: Any) -> Sequence[IDJAG]:
    """The identity providers that `enterprise=` names.

    Args:
        enterprise: What the user gave: one, several, or None.

    Raises:
        DefinitionError: For what is none, and for two with one issuer.
    """
    given = [enterprise] if isinstance(enterprise, IDJAG) else enterprise or []
    if not isinstance(given, list | tuple) or not all(isinstance(one, IDJAG) for one in given):
        raise DefinitionError("enterprise is an IDJAG(…), or a list of them")
    if len({one.issuer for one in given}) < len(given):
        raise DefinitionError("enterprise has two providers with one issuer")
    return list(given)


class EnterpriseGrants:
    """Turns assertions of identity providers into access tokens.

    Args:
        providers: The identity providers.
        scopes: The scopes that there are.
        grants: Makes the token response.
        store: Keeps the connections.
        events: Is told.
        lifetime: How long a connection is good at most, in seconds.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        providers: Sequence[IDJAG],
        scopes: Mapping[str, str],
        grants: Grants,
        store: ConnectionStore,
        events: Events,
        lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._providers = {one.issuer: one for one in providers}
        self._scopes = scopes
        self._grants = grants
        self._store = store
        self._events = events
        self._lifetime = lifetime
        self._clock = clock

    def exchange(
        self,
        assertion: str,
        asked: TokenRequest,
    ) -> Flow[dict[str, Any]]:
        """Exchange an assertion for an access token.

        Args:
            assertion: The assertion.
            asked: Who asks, and for what: a client of the owner's configuration, which has
                authenticated.

        Returns:
            The token response.

        Raises:
            OAuthError: If it is not accepted.
        """
        client, request = asked.client.own, asked.web
        assert client is not None, "no other client has this grant"
        try:
            provider, claims, until = yield from self._checked(assertion, client, request)
            check_resources(asked.resources, request.resource)
            granted = self._granted(claims, client, asked.scopes)
            user = yield from self._user(provider, claims)
            stamps = yield from stamps_now(request.accounts, user)
            if not stamps:
                raise AssertionRefused("The person may not come any more")
            # Last: what is refused for another reason may be tried again.
            yield from use_once(self._store, assertion, claims, f"{request.issuer} grant", until)
        except AssertionRefused as error:
            self._events.tell(refusal(error, client.name, request))
            raise invalid_grant(str(error)) from None
        held = yield from self._connection(provider, user, client, granted, stamps, request)
        self._events.tell(event_of("tokens issued", held, request.address, "by an ID-JAG"))
        return self._grants.access_only(held)

    def _checked(
        self, assertion: str, client: Client, request: WebRequest
    ) -> Flow[tuple[IDJAG, Mapping[str, Any], float]]:
        """The provider and the claims of an assertion that is good, and until when.

        Raises:
            AssertionRefused: If it is not good.
            OAuthError: 503, if the keys of its issuer cannot be fetched.
        """
        issuer = unverified(assertion)[1].get("iss")
        provider = self._providers.get(issuer) if isinstance(issuer, str) else None
        if provider is None:
            raise AssertionRefused("The assertion is of another issuer (iss)")
        claims = yield from verified(
            assertion, provider.keys, kinds=(_KIND,), algorithms=provider.algorithms
        )
        if claims.get("iss") != provider.issuer:
            raise AssertionRefused("The assertion is of another issuer (iss)")
        check_audience(claims, (request.issuer, f"{request.issuer}/"))
        until = check_times(claims, self._clock(), most=MAX_SECONDS, needs_issued=True)
        if claims.get("client_id") != client.id:
            raise AssertionRefused("The assertion is for another client (client_id)")
        for name in ("sub", "jti"):
            if not isinstance(claims.get(name), str) or not claims[name]:
                raise AssertionRefused(f"The assertion has no {name}")
        if claims.get("cnf") is not None:
            # Whoever has stolen it could use it: proofs of possession are not asked for here.
            raise AssertionRefused("The assertion is bound to a key (cnf)")
        if claims.get("authorization_details") is not None and "scope" not in claims:
            raise AssertionRefused("authorization_details are not understood here")
        named = claims.get("resource")
        named = [named] if isinstance(named, str) else named
        own = canonical(request.resource)
        if not isinstance(named, list) or not any(
            isinstance(one, str) and canonical(one) == own for one in named
        ):
            raise AssertionRefused("The assertion is for another resource")
        return provider, claims, until

    def _granted(
        self, claims: Mapping[str, Any], client: Client, wanted: Sequence[str]
    ) -> tuple[str, ...]:
        """The scopes that the provider, the client and its request have in common.

        Raises:
            AssertionRefused: If the assertion has none that can be read.
            OAuthError: If the client asks for none of those that it may have.
        """
        named = claims.get("scope", "")
        if not isinstance(named, str):
            raise AssertionRefused("The scopes of the assertion are no text (scope)")
        vouched = named.split()
        granted = tuple(
            one
            for one in self._scopes
            if one in vouched
            and (client.scopes is None or one in client.scopes)
            and (not wanted or one in wanted)
        )
        if wanted and not granted and self._scopes:
            raise OAuthError("invalid_scope", "The assertion has none of these scopes")
        return granted

    def _user(self, provider: IDJAG, claims: Mapping[str, Any]) -> Flow[str]:
        """The id of the person whom an assertion is of.

        Raises:
            AssertionRefused: If it is nobody here.
            OAuthError: 503, if that cannot be found out.
        """
        try:
            person = checked_person((yield from answered(provider.find_user, claims)))
        except Exception:
            logger.exception("find_user of IDJAG failed")
            raise unavailable("It cannot be found out who the person is") from None
        if person is None:
            raise AssertionRefused("The assertion is of nobody here")
        return person.id

    def _connection(
        self,
        provider: IDJAG,
        user: str,
        client: Client,
        scopes: tuple[str, ...],
        stamps: Sequence[str],
        request: WebRequest,
    ) -> Flow[Connection]:
        """The connection of a person with a client by a provider: one row, for all assertions with
        the same scopes. One that has ended stays so, with its tokens, and another one follows."""
        now = self._clock()
        same = [provider.issuer, user, client.id, request.resource, *scopes]
        digest = sha256(to_json(same)).hexdigest()[:32]
        numbered = [f"idjag.{digest}.{number}" for number in range(_MAX_ENDED)]
        for id in (*numbered, f"idjag.{token_urlsafe(16)}"):
            held: Connection | None = yield from ask_store(self._store.get, id)
            if held is None:
                held = Connection(
                    id=id,
                    user=user,
                    client=client.digest,
                    client_name=client.name,
                    client_host=urlsplit(provider.issuer).hostname,
                    resource=request.resource,
                    scopes=scopes,
                    stamp=stamps[0],
                    created=now,
                    used=now,
                )
                if (yield from ask_store(self._store.add, held)):
                    return held
                # Another process has made it in the meantime.
                held = yield from ask_store(self._store.get, id)
            if held is None or held.revoked is not None:
                continue
            if held.stamp in stamps and now - held.created <= self._lifetime:
                # Noted as used. Somebody else may do so in the meantime, which is as good.
                yield from ask_store(self._store.rotate, id, held.generation, now, stamps[0])
                return held
            # Its tokens must not become good again by the new stamp.
            yield from ask_store(self._store.revoke, id, now)
        raise unavailable("The connection could not be made")
