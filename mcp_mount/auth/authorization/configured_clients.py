"""Clients that the application's owner has configured: programs of the house, and partners."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import import_module
from typing import Any, Final

from pydantic_core import to_json

from mcp_mount.auth.authorization.clients import OAuthClient, digest_of
from mcp_mount.auth.authorization.redirects import RedirectRefused, check_redirect_uri
from mcp_mount.auth.http import Unreachable
from mcp_mount.auth.signing_keys import (
    ASYMMETRIC,
    FixedKeys,
    KeyFinder,
    SigningKeys,
    of_issuer,
    public_key,
    usable_keys,
)
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import naming_options, several_names, suggestion
from mcp_mount.schemas.values import filled, text

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"

GRANT_NAMES: Final = {
    "authorization_code": "authorization_code",
    "refresh_token": "refresh_token",
    "client_credentials": "client_credentials",
    "jwt-bearer": JWT_BEARER,
    JWT_BEARER: JWT_BEARER,
}
"""What `grants=` may name, and the `grant_type` of a token request."""

MIN_SECRET: Final = 32
"""How many characters a secret must have (OAuth 2.1, section 2.4.1: nobody guesses it)."""


class Client:
    """A client that the application's owner configures, for `SignIn(clients=[…])`.

    With a secret or keys it is a confidential client: it authenticates whenever it asks for tokens.
    A program without a person (a cron job, another server) gets tokens by the grant
    "client_credentials"; assistants have redirect URIs.

    Args:
        id: The `client_id`.
        name: What the pages call it; by default the id.
        secret: Its secret, or several, while one replaces another.
        jwks: Its public keys, with which it signs (`private_key_jwt`): a JWK Set, or a PEM text.
            Needs the extra `auth`.
        jwks_uri: The URL of its public keys, in place of those.
        scopes: What it may ask for, of the scopes of the SignIn; by default all. A program without
            a person has no scopes but those named here.
        redirects: Where codes may be sent: its redirect URIs.
        grants: How it may get tokens: "authorization_code", "refresh_token", "client_credentials",
            "jwt-bearer". By default the first two with redirect URIs, and client credentials
            without.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
        MissingExtra: If keys are given, and the extra is not installed.
        ValueError: For a URL or a key that is not secure.
    """

    @naming_options
    def __init__(
        self,
        id: str,
        *,
        name: str = "",
        secret: str | Sequence[str] | None = None,
        jwks: Mapping[str, Any] | str | None = None,
        jwks_uri: str | None = None,
        scopes: str | Sequence[str] | None = None,
        redirects: str | Sequence[str] | None = None,
        grants: str | Sequence[str] | None = None,
    ) -> None:
        self.id = filled("id", id)
        if not all("!" <= one <= "~" for one in id):
            raise DefinitionError(f"id of a Client is plain ASCII without spaces, not {id!r}")
        self.name = text("name", name) or id
        if sum(one is not None for one in (secret, jwks, jwks_uri)) > 1:
            raise DefinitionError(f"Client {id!r} has one of secret=, jwks= and jwks_uri=")
        # Only digests are kept: no repr, traceback or log can show a secret.
        self._secrets = [_digest(one) for one in _secrets(id, secret)]
        self.keys: KeyFinder | None = None
        self._keys_stamp: str | None = None
        if jwks is not None or jwks_uri is not None:
            with requires("auth", "Client(…, jwks=…)"):
                import_module("jwt")
                import_module("cryptography")
                import_module("httpx2")
        if jwks is not None:
            self.keys = _fixed(id, jwks)
            self._keys_stamp = _stamp(to_json(jwks))
        if jwks_uri is not None:
            self.keys = SigningKeys(f"the client {id}", of_issuer("", jwks_uri))
            self._keys_stamp = _stamp(jwks_uri.encode())
        self.scopes = None if scopes is None else frozenset(several_names("scopes", scopes))
        self.redirects = tuple(several_names("redirects", redirects))
        for one in self.redirects:
            try:
                check_redirect_uri(one)
            except RedirectRefused as error:
                raise DefinitionError(f"redirects of Client {id!r}: {error}: {one!r}") from None
        self.grants = _grants(self, grants)

    def __repr__(self) -> str:
        return f"Client({self.id!r})"

    @property
    def is_confidential(self) -> bool:
        """Whether it has to authenticate."""
        return self.keys is not None or bool(self._secrets)

    @property
    def digest(self) -> str:
        """Tells it apart from others, in what is kept and sealed."""
        return digest_of(self.id)

    @property
    def stamps(self) -> frozenset[str]:
        """What its tokens may carry: one that was issued for a secret, or for keys, that it has no
        more is not good any more."""
        if self._keys_stamp is not None:
            return frozenset((self._keys_stamp,))
        return frozenset(map(_stamp, self._secrets))

    def stamp_of_keys(self) -> str:
        """The stamp of tokens for which it has signed."""
        assert self._keys_stamp is not None, "it has keys"
        return self._keys_stamp

    def stamp_of(self, secrets: Sequence[str]) -> str | None:
        """The stamp of tokens for its secret; None if none of these is it.

        Args:
            secrets: What was sent, in the ways in which it can be read.
        """
        found = None
        for sent in map(_digest, secrets):
            for own in self._secrets:
                # All are compared, and each takes the same time.
                if hmac.compare_digest(sent, own):
                    found = _stamp(own)
        return found

    def as_oauth(self, host: str | None) -> OAuthClient:
        """What the authorization endpoint knows of it.

        Args:
            host: Who vouches for its name: the host of the application, whose owner has named it.
        """
        return OAuthClient(self.id, self.name, self.redirects, host=host, scopes=self.scopes)


def clients_by_id(clients: Sequence[Client], scopes: Mapping[str, str]) -> dict[str, Client]:
    """The clients of a SignIn, by their ids.

    Args:
        clients: What the user gave.
        scopes: The scopes that there are.

    Raises:
        DefinitionError: For what are no clients, and for two with one id.
    """
    if not isinstance(clients, list | tuple) or not all(isinstance(one, Client) for one in clients):
        raise DefinitionError("clients is a list of Client(…)")
    found: dict[str, Client] = {}
    for one in clients:
        if one.id in found:
            raise DefinitionError(f"clients has two with the id {one.id!r}")
        unknown = sorted((one.scopes or frozenset()) - set(scopes))
        if unknown:
            raise DefinitionError(
                f"scopes of Client {one.id!r} names {unknown[0]!r}; "
                f"{suggestion(unknown[0], list(scopes))}"
            )
        if scopes and one.scopes is None and "client_credentials" in one.grants:
            raise DefinitionError(
                f"Client {one.id!r} acts for itself: name its scopes= (an empty list for tools "
                "that need none)"
            )
        found[one.id] = one
    return found


def _secrets(id: str, secret: Any) -> list[str]:
    """The secrets of a client.

    Raises:
        DefinitionError: For what is none.
        ValueError: For one that is too short.
    """
    given = [secret] if isinstance(secret, str) else [] if secret is None else secret
    is_list = isinstance(given, list | tuple) and all(isinstance(one, str) for one in given)
    if not is_list or (secret is not None and not given):
        # Not the value: it may be half a secret.
        raise DefinitionError(f"secret of Client {id!r} is a text, or a list of texts")
    for one in given:
        if len(one) < MIN_SECRET or not one.isascii() or not one.isprintable():
            raise ValueError(
                f"secret of Client {id!r} must have {MIN_SECRET} characters of plain ASCII or "
                "more: secrets.token_urlsafe(32) makes one"
            )
    return list(given)


def _fixed(id: str, jwks: Any) -> KeyFinder:
    """The keys that a user gave.

    Raises:
        DefinitionError: If there are none.
        ValueError: For a key that is not secure.
    """
    if isinstance(jwks, str):
        return FixedKeys([(None, public_key(f"jwks of Client {id!r}", jwks))])
    if not isinstance(jwks, Mapping):
        raise DefinitionError(f"jwks of Client {id!r} is a JWK Set (a dict), or a PEM text")
    try:
        found = usable_keys(jwks if "keys" in jwks else {"keys": [jwks]}, f"the client {id}")
    except Unreachable:
        found = []
    if not found:
        raise DefinitionError(
            f"jwks of Client {id!r} has no public key that can be used (RSA of 2048 bits or more, "
            f"EC, or Ed25519, for {', '.join(ASYMMETRIC)})"
        )
    return FixedKeys(found)


def _grants(client: Client, grants: Any) -> frozenset[str]:
    """How a client may get tokens.

    Raises:
        DefinitionError: For a grant that it cannot use.
    """
    named = several_names("grants", grants)
    if grants is None:
        people = ["authorization_code", "refresh_token"]
        named = people if client.redirects else ["client_credentials"]
    found = set()
    for one in named:
        if one not in GRANT_NAMES:
            raise DefinitionError(f"grants names {one!r}; {suggestion(one, list(GRANT_NAMES)[:4])}")
        found.add(GRANT_NAMES[one])
    who = f"Client {client.id!r}"
    if not found:
        raise DefinitionError(f"{who} has no grants: nothing could be asked for by it")
    if ("authorization_code" in found) != bool(client.redirects):
        raise DefinitionError(f"{who} has redirects= if people sign in to it, and only then")
    if found & {"client_credentials", JWT_BEARER} and not client.is_confidential:
        # RFC 6749, section 4.4: anybody who knows its id would get tokens.
        raise DefinitionError(f"{who} must authenticate: give it secret=, jwks= or jwks_uri=")
    return frozenset(found)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _stamp(what: bytes) -> str:
    return sha256(b"mcp-mount client stamp\n" + what).hexdigest()[:16]
