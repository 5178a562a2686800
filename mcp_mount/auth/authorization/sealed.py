"""What the authorization server seals: client ids, requests, forms, codes and tokens.

Each has a purpose of its own, so that none can be used for another, and is good for one server. No
row is kept for any of them but for the connection, which codes and tokens name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from mcp_mount.wire.sealing import Keys, TokenRefused, TokenSealer

T = TypeVar("T")

_FOREVER: Final = 100 * 365 * 24 * 3600.0

FORM_SECONDS: Final = 600.0
"""How long a person may take to log in, and then to decide."""

CODE_SECONDS: Final = 60.0
"""How long a code is good (OAuth 2.1, section 4.1.2, recommends at most ten minutes)."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization request whose client and parameters have been checked.

    Attributes:
        client: The digest of the client's id.
        client_name: What the client calls itself.
        client_host: The host that published its metadata, if one did.
        redirect_uri: Where the code is sent.
        state: The client's own.
        challenge: The code challenge of PKCE, by S256 (RFC 7636).
        resource: The URL of the MCP endpoint.
        scopes: What is asked for.
        signs: Whether the client authenticates by a key of its own.
    """

    client: str
    client_name: str
    client_host: str | None
    redirect_uri: str
    state: str | None
    challenge: str
    resource: str
    scopes: list[str]
    signs: bool = False


@dataclass(frozen=True, slots=True)
class ConsentForm:
    """What the form of a consent page holds.

    Attributes:
        request: The fields of the authorization request.
        user: The person who was asked.
        browser: The digest of the value that the browser got in a cookie.
        connection: The id of the connection that consent makes: of two submissions of a form, one
            makes a connection.
    """

    request: dict[str, Any]
    user: str
    browser: str
    connection: str


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code holds. It is signed, and its client can read it: what others must
    not learn is in it as a digest.

    Attributes:
        connection: The id of the connection that it makes.
        user: The id of the person.
        stamp: The digest of the person's stamp.
        client: The digest of the client's id.
        client_name: What the client calls itself.
        client_host: The host that published the client's metadata, if one did.
        redirect_uri: Where it is sent.
        challenge: The digest of the code challenge (RFC 7636, section 4.4: nobody reads it here).
        resource: The URL of the MCP endpoint.
        scopes: What was granted.
        signs: Whether only a client that authenticates by its key may redeem it.
    """

    connection: str
    user: str
    stamp: str
    client: str
    client_name: str
    client_host: str | None
    redirect_uri: str
    challenge: str
    resource: str
    scopes: list[str]
    signs: bool = False


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """What a refresh token holds.

    Attributes:
        connection: The id of its connection.
        generation: How often it has been replaced.
        signs: Whether its client has authenticated by a key, and must do so again.
    """

    connection: str
    generation: int
    signs: bool


@dataclass(frozen=True, slots=True)
class ClientClaims:
    """What an access token of a client by itself holds (client credentials). No row is kept for it.

    Attributes:
        id: Its own id, by which it is revoked.
        client: The client's id.
        scopes: The scopes that it has; None for all of its client.
        stamp: What the client's secret or keys were.
        resource: The digest of the URL of the MCP endpoint.
        sealed: When it was sealed, in seconds since the epoch.
    """

    id: str
    client: str
    scopes: list[str] | None
    stamp: str
    resource: str
    sealed: float


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token holds.

    Attributes:
        connection: The id of its connection.
        scopes: The scopes that it has; None for all of its connection.
        sealed: When it was sealed, in seconds since the epoch.
    """

    connection: str
    scopes: list[str] | None
    sealed: float


class Seals:
    """The sealers of one authorization server.

    Args:
        keys: The keys, oldest first; the newest seals.
        server: Returns the name of the server.
    """

    def __init__(self, keys: Keys, server: Callable[[], str]) -> None:
        def sealer(purpose: str, max_length: int = 4096) -> TokenSealer:
            return TokenSealer(f"signin.{purpose}", keys, server=server, max_length=max_length)

        # An id is in the line of a request, which gunicorn limits to 4094 bytes, and again in what
        # a login page carries.
        self._client = sealer("client", 1536)
        self._request = sealer("request", 8192)
        self._form = sealer("form", 16384)
        self._code = sealer("code", 8192)
        self._refresh = sealer("refresh")
        self._access = sealer("access")
        self._client_access = sealer("client access")
        self._removal = sealer("removal")

    def client_id(self, name: str, redirect_uris: list[str], uri: str | None) -> str:
        """The id of a client that registers itself; ValueError if it would be too long."""
        return self._client.seal([name, redirect_uris, uri])

    def open_client_id(self, client_id: str) -> tuple[str, list[str], str | None] | None:
        """The name, redirect URIs and home page of a registered client; None for no id of ours."""
        claims = _opened(self._client, client_id, _FOREVER)
        return None if claims is None else (claims[0], claims[1], claims[2])

    def request(self, query: dict[str, list[str]]) -> str:
        """The parameters of a request as the one that a login page carries; ValueError if they are
        too long."""
        return self._request.seal(query)

    def open_request(self, sealed: str) -> dict[str, list[str]] | None:
        """The parameters in such a one; None for none that is good now."""
        query: dict[str, list[str]] | None = _opened(self._request, sealed, FORM_SECONDS)
        return query

    def form(self, form: ConsentForm) -> str:
        """What a form of a consent page holds."""
        return self._form.seal(asdict(form))

    def open_form(self, sealed: str) -> ConsentForm | None:
        """The form that was sent; None for none that is good now."""
        return _made(ConsentForm, self._form, sealed, FORM_SECONDS)

    def code(self, code: Code) -> str:
        """An authorization code."""
        return self._code.seal(asdict(code))

    def open_code(self, sealed: str) -> Code | None:
        """What a code holds; None for none that is good now."""
        return _made(Code, self._code, sealed, CODE_SECONDS)

    def refresh_token(self, connection: str, generation: int, *, signs: bool = False) -> str:
        """A refresh token."""
        return self._refresh.seal([connection, generation, *([1] if signs else [])])

    def open_refresh_token(self, sealed: str, ttl: float) -> RefreshClaims | None:
        """What a refresh token holds; None for none that is good now."""
        claims = _opened(self._refresh, sealed, ttl)
        return None if claims is None else RefreshClaims(claims[0], claims[1], len(claims) > 2)

    def access_token(self, connection: str, scopes: list[str] | None = None) -> str:
        """An access token, with all scopes of its connection or with fewer."""
        return self._access.seal([connection] if scopes is None else [connection, scopes])

    def open_access_token(self, sealed: str, ttl: float) -> AccessClaims | None:
        """What an access token holds; None for none that is good now."""
        try:
            claims, sealed_at = self._access.open(sealed, ttl=ttl)
        except TokenRefused:
            return None
        return AccessClaims(claims[0], claims[1] if len(claims) > 1 else None, sealed_at)

    def client_token(
        self, id: str, client: str, scopes: list[str] | None, stamp: str, resource: str
    ) -> str:
        """An access token of a client by itself."""
        return self._client_access.seal([id, client, scopes, stamp, resource])

    def open_client_token(self, sealed: str, ttl: float) -> ClientClaims | None:
        """What such a token holds; None for none that is good now."""
        try:
            claims, sealed_at = self._client_access.open(sealed, ttl=ttl)
        except TokenRefused:
            return None
        id, client, scopes, stamp, resource = claims
        return ClientClaims(id, client, scopes, stamp, resource, sealed_at)

    def removal(self, connection: str, user: str, browser: str) -> str:
        """What the form holds by which a person revokes a connection."""
        return self._removal.seal([connection, user, browser])

    def open_removal(self, sealed: str) -> tuple[str, str, str] | None:
        """The connection, person and browser of such a form."""
        claims = _opened(self._removal, sealed, FORM_SECONDS * 6)
        return None if claims is None else (claims[0], claims[1], claims[2])


def _opened(sealer: TokenSealer, sealed: str, ttl: float) -> Any:
    try:
        return sealer.open(sealed, ttl=ttl)[0]
    except TokenRefused:
        return None


def _made(kind: Callable[..., T], sealer: TokenSealer, sealed: str, ttl: float) -> T | None:
    claims = _opened(sealer, sealed, ttl)
    return None if claims is None else kind(**claims)
