"""Which client asks for tokens, and how it proves that (OAuth 2.1, section 2.4; RFC 7523)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

from mcp_mount.auth.authorization.assertions import (
    AssertionRefused,
    check_audience,
    check_times,
    refusal,
    unverified,
    use_once,
    verified,
)
from mcp_mount.auth.authorization.client_lookup import ClientLookup
from mcp_mount.auth.authorization.clients import digest_of
from mcp_mount.auth.authorization.configured_clients import Client
from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.errors import (
    OAuthError,
    PageError,
    invalid_client,
    unavailable,
)
from mcp_mount.auth.authorization.events import Events
from mcp_mount.auth.authorization.forms import first
from mcp_mount.auth.authorization.token_requests import KnownClient
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.auth.signing_keys import ASYMMETRIC, KeyFinder
from mcp_mount.calls.flows import Flow

JWT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

MAX_SECONDS: Final = 600.0
"""How long an assertion of a client may be good; the SDKs give theirs five minutes."""

_KINDS: Final = (None, "jwt", "client-authentication+jwt")

_FAILED: Final = "The client could not be authenticated"
"""One wording for all causes: a stranger learns nothing by it. The log has the cause."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client sends to say who it is.

    Attributes:
        client_id: Its id.
        secrets: The secret that it sends, in the ways in which it can be read.
        assertion: The assertion that it sends.
    """

    client_id: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    assertion: str | None = field(default=None, repr=False)


class ClientAuthentication:
    """Finds out which client sends a request.

    Args:
        clients: Knows clients by their ids.
        store: Knows which assertions were used.
        events: Is told of failures.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        clients: ClientLookup,
        store: ConnectionStore,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        self._clients = clients
        self._store = store
        self._events = events
        self._clock = clock

    def read(self, form: Mapping[str, list[str]], headers: Mapping[str, str]) -> Credentials:
        """What a client sends to say who it is.

        Args:
            form: The parameters of its request.
            headers: The headers, by names in lower case.

        Raises:
            OAuthError: If it sends no id, two, or proves it in two ways at once.
        """
        fields = dict(form)
        named = first(fields, "client_id")
        secret = first(fields, "client_secret")
        assertion, kind = first(fields, "client_assertion"), first(fields, "client_assertion_type")
        basic = _basic(headers.get("authorization", ""))
        if sum((basic is not None, secret is not None, assertion is not None)) > 1:
            raise OAuthError("invalid_request", "The client authenticates in two ways at once")
        if (assertion is None) != (kind is None):
            raise OAuthError(
                "invalid_request", "client_assertion and client_assertion_type come together"
            )
        if assertion is not None:
            if kind != JWT_ASSERTION:
                raise invalid_client(f"client_assertion_type must be {JWT_ASSERTION}")
            return Credentials(_signer(assertion, named), assertion=assertion)
        if basic is not None:
            return self._of_basic(basic, named)
        if named is None:
            raise invalid_client("The client_id is missing")
        return Credentials(named, () if secret is None else (secret,))

    def _of_basic(self, pair: str, named: str | None) -> Credentials:
        """What HTTP Basic says: as a form (RFC 6749, section 2.3.1), or as it is, which the
        TypeScript clients send."""
        raw_id, _, raw_secret = pair.partition(":")
        ids = (unquote_plus(raw_id), raw_id)
        if named is not None and named not in ids:
            raise OAuthError("invalid_request", "The client_id comes twice, and differs")
        client_id = named or next((one for one in ids if self._clients.is_known(one)), ids[0])
        if not client_id:
            raise invalid_client("The client_id is missing")
        return Credentials(client_id, (raw_secret, unquote_plus(raw_secret)))

    def authenticate(
        self, sent: Credentials, request: WebRequest, holder: Callable[[], Flow[str | None]]
    ) -> Flow[KnownClient]:
        """The client that sends a request.

        Args:
            sent: What it sends to say who it is.
            request: The request.
            holder: Returns the digest of the id of the client that the code or token in the request
                was issued to. Only for such a client is anything fetched.

        Raises:
            OAuthError: If it is not known, or could not prove who it is.
        """
        own = self._clients.configured(sent.client_id)
        if own is not None:
            return (yield from self._configured(own, sent, request))
        if not self._clients.is_known(sent.client_id):
            raise invalid_client("The client is not registered here: register anew")
        if sent.assertion is None:
            # A public client, as far as it says: codes and tokens know those that are none. A
            # secret is not looked at, since none was given.
            return KnownClient(sent.client_id)
        if not self._clients.needs_document(sent.client_id):
            raise invalid_client(_FAILED)
        if (yield from holder()) != digest_of(sent.client_id):
            # Anybody can name any URL: nothing is fetched before a person has consented. Whatever
            # it asks for is refused, as its code or its refresh token is none of this client.
            return KnownClient(sent.client_id)
        try:
            client = yield from self._clients.find(sent.client_id, request.address)
        except PageError:
            raise unavailable("The client's own description cannot be read") from None
        if client.keys is None:
            raise invalid_client(_FAILED)
        algorithms = ASYMMETRIC if client.algorithm is None else (client.algorithm,)
        try:
            yield from self._signed(sent, client.keys, algorithms, request)
        except AssertionRefused as error:
            self._events.tell(refusal(error, client.name, request, client.host))
            raise invalid_client(_FAILED) from None
        return KnownClient(sent.client_id, signed=True)

    def _configured(self, own: Client, sent: Credentials, request: WebRequest) -> Flow[KnownClient]:
        """A client that the application's owner has configured."""
        if not own.is_confidential:
            if sent.assertion is not None:
                raise invalid_client(_FAILED)
            return KnownClient(own.id, own)
        try:
            if own.keys is None:
                stamp = own.stamp_of(sent.secrets)
                if stamp is None:
                    raise AssertionRefused(
                        "The secret is wrong" if sent.secrets else "The client sends no secret"
                    )
                return KnownClient(own.id, own, stamp)
            if sent.assertion is None:
                raise AssertionRefused("The client does not sign (private_key_jwt)")
            yield from self._signed(sent, own.keys, ASYMMETRIC, request)
        except AssertionRefused as error:
            self._events.tell(refusal(error, own.name, request))
            raise invalid_client(_FAILED) from None
        return KnownClient(own.id, own, own.stamp_of_keys(), signed=True)

    def _signed(
        self, sent: Credentials, keys: KeyFinder, algorithms: tuple[str, ...], request: WebRequest
    ) -> Flow[None]:
        """Verify an assertion of a client (RFC 7523, section 3).

        Raises:
            AssertionRefused: If it is not good.
            OAuthError: 503, if that cannot be found out.
        """
        assert sent.assertion is not None, "the client has signed"
        allowed = tuple(one for one in algorithms if one in ASYMMETRIC)
        claims = yield from verified(sent.assertion, keys, kinds=_KINDS, algorithms=allowed)
        if claims.get("iss") != sent.client_id or claims.get("sub") != sent.client_id:
            raise AssertionRefused("The assertion is of another client (iss, sub)")
        # The SDKs send the issuer; ChatGPT sends the token endpoint, byte for byte.
        audience = (request.issuer, f"{request.issuer}/", f"{request.base}/token")
        check_audience(claims, audience)
        until = check_times(claims, self._clock(), most=MAX_SECONDS)
        yield from use_once(self._store, sent.assertion, claims, f"{request.issuer} client", until)


def _basic(header: str) -> str | None:
    """The pair of HTTP Basic (RFC 7617); None for no such header.

    Raises:
        OAuthError: If it cannot be read.
    """
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(value.strip(), validate=True).decode()
    except ValueError:
        raise OAuthError("invalid_request", "The Authorization header cannot be read") from None


def _signer(assertion: str, named: str | None) -> str:
    """The client that an assertion says it is of.

    Raises:
        OAuthError: If it says none, or another than the request.
    """
    try:
        subject = unverified(assertion)[1].get("sub")
    except (AssertionRefused, ImportError):
        # Without the extra `auth` nobody here has a key.
        raise invalid_client(_FAILED) from None
    if not isinstance(subject, str) or not subject:
        raise invalid_client(_FAILED)
    if named is not None and named != subject:
        raise invalid_client(_FAILED)
    return subject
