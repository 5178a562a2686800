"""The public keys of whoever signs JWTs: an issuer's, or a client's.

They are fetched when they are first needed, kept for a while, and fetched again when a signature
names one that is not known: owners replace their keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from mcp_mount.auth.fetching import Fetcher, unreachable
from mcp_mount.auth.http import Unreachable, deadline, get_json
from mcp_mount.auth.verifiers import InvalidToken, secure_url
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""The algorithms of signatures that only who has the private key can make."""

KEPT_SECONDS: Final = 300.0
"""How long keys are kept before they are fetched again."""

MIN_RSA_BITS: Final = 2048

_COOLDOWN_SECONDS: Final = 10.0
"""How often keys are fetched at most, whatever key ids clients make up."""

_STALE_SECONDS: Final = 3600.0
"""How long keys are used whose owner cannot be reached."""

_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
"""The curve of each algorithm (RFC 7518, section 3.4)."""

KeyOfId: TypeAlias = tuple[str | None, Any]
"""A public key of the library `cryptography`, and its id."""

LoadKeys: TypeAlias = Callable[[], Mapping[str, Any]]
"""Returns a JWK Set (RFC 7517, section 5); it may take time, and raises `Unreachable`."""


class KeyFinder(Protocol):
    """The public keys of whoever signs."""

    def find(self, kid: str | None, *, newer: bool = False) -> Flow[Sequence[Any]]:
        """The keys that a JWT may be signed with.

        Args:
            kid: The id of the key; None if the JWT names none.
            newer: Whether the known keys did not fit.

        Raises:
            InvalidToken: If there is none.
            ProtocolError: 503, if they cannot be fetched.
        """


class SigningKeys:
    """The keys of one owner, by their ids; fetched when they are first needed.

    Args:
        owner: Whose keys they are, for the log.
        load: Fetches them.
        ttl: How long they are kept, in seconds.
    """

    def __init__(self, owner: str, load: LoadKeys, ttl: float = KEPT_SECONDS) -> None:
        self._owner = owner
        self._load = load
        self._ttl = ttl
        self._found: Sequence[KeyOfId] = ()
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetch_running: Future[None] | None = None
        self._fetcher = Fetcher(threads=1)
        self._lock = threading.Lock()

    def find(self, kid: str | None, *, newer: bool = False) -> Flow[Sequence[Any]]:
        """The keys that a token may be signed with. Old keys are fetched again in the background.

        Args:
            kid: The id of the key; None if the token names none.
            newer: Whether the known keys did not fit.

        Raises:
            InvalidToken: If the owner has no key with this id.
            ProtocolError: 503, if the owner does not answer.
        """
        now = time.monotonic()
        must_wait = newer or not self._matching(kid)
        if must_wait or now > self._fetched + self._ttl:
            fetching = self._fetching(now)
            if must_wait and fetching is not None:
                yield from self._fetcher.wait(fetching)
        if not self._found or time.monotonic() > self._fetched + self._ttl + _STALE_SECONDS:
            raise unreachable()
        matching = self._matching(kid)
        if not matching:
            raise _unknown_key()
        return matching

    def _matching(self, kid: str | None) -> list[Any]:
        return [key for known, key in self._found if kid is None or known == kid]

    def _fetching(self, now: float) -> Future[None] | None:
        """The fetch that is under way, or begins now; None where it was tried just before."""
        with self._lock:
            if self._fetch_running is None or self._fetch_running.done():
                if now < self._tried + _COOLDOWN_SECONDS:
                    return None
                self._tried = now
                self._fetch_running = self._fetcher.begin("keys", self._refresh)
            return self._fetch_running

    def _refresh(self) -> None:
        try:
            self._found = usable_keys(self._load(), self._owner)
            self._fetched = time.monotonic()
        except Unreachable as error:
            logger.warning("The keys of %s cannot be fetched: %s", self._owner, error)


class FixedKeys:
    """Keys that are there already.

    Args:
        found: The keys.
    """

    def __init__(self, found: Sequence[KeyOfId]) -> None:
        self._found = found

    def find(self, kid: str | None, *, newer: bool = False) -> Flow[Sequence[Any]]:
        """The keys that a token may be signed with, as `SigningKeys.find`.

        Args:
            kid: The id of the key; None if the token names none.
            newer: Whether the known keys did not fit; there are no others.

        Raises:
            InvalidToken: If there is no key with this id.
        """
        yield from ()
        # A PEM text names no id, and is meant whatever its owner calls it.
        matching = [key for known, key in self._found if kid is None or known in (None, kid)]
        if not matching:
            raise _unknown_key()
        return matching


def of_issuer(issuer: str, uri: str | None = None) -> LoadKeys:
    """Fetches the keys of an issuer whom the application's owner has named.

    Args:
        issuer: The issuer.
        uri: The URL of its keys; None for the one that its metadata have.

    Raises:
        ValueError: If the URL is not secure.
    """
    found = None if uri is None else secure_url(uri, "jwks_uri")

    def load() -> Mapping[str, Any]:
        nonlocal found
        until = deadline()
        if found is None:
            found = _discovered(issuer, until)
        return get_json(found, until)

    return load


def usable_keys(document: Mapping[str, Any], owner: str) -> Sequence[KeyOfId]:
    """The keys of a JWK Set that signatures can be verified with, and their ids.

    Args:
        document: The JWK Set.
        owner: Whose keys they are, for the log.

    Raises:
        Unreachable: If it is no JWK Set.
    """
    import jwt as pyjwt

    keys = document.get("keys")
    if not isinstance(keys, list):
        raise Unreachable(f"the document of {owner} has no keys")
    found: list[KeyOfId] = []
    for one in keys:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        if one.get("kty") == "oct":
            # A secret has no place among public keys.
            continue
        if "d" in one:
            # Whoever reads the document can sign with it (RFC 7517, section 9.2).
            logger.warning("A private key among the keys of %s is not used", owner)
            continue
        operations = one.get("key_ops")
        if isinstance(operations, list) and "verify" not in operations:
            # Its owner means it for something else (RFC 7517, section 4.3).
            continue
        try:
            key = pyjwt.PyJWK(one).key
        except Exception as error:
            # Of a kind that is not known, or none: the others may do.
            logger.info("A key of %s cannot be read: %s", owner, type(error).__name__)
            continue
        if is_weak(key):
            logger.warning(
                "A key of %s has fewer than %d bits and is not used", owner, MIN_RSA_BITS
            )
            continue
        found.append((one.get("kid"), key))
    return found


def public_key(what: str, pem: str | bytes) -> Any:
    """A public key.

    Args:
        what: The option that it is given by, for the errors.
        pem: Its PEM text.

    Raises:
        ValueError: For what is none, for one that is too weak (RFC 7518, section 3.3), and for a
            private key: who verifies signatures needs none, and must not have what makes them.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = pem.encode() if isinstance(pem, str) else pem
    if b"PRIVATE" in text:
        raise ValueError(f"{what} is a private key: give the public one")
    try:
        key = load_pem_public_key(text)
    except ValueError:
        raise ValueError(f"{what} is no public key (PEM)") from None
    if is_weak(key):
        raise ValueError(f"{what} has fewer than {MIN_RSA_BITS} bits")
    return key


def fits(key: Any, algorithm: str) -> bool:
    """Whether a public key is of the type, and on the curve, that an algorithm signs with.

    Args:
        key: The key, of the library `cryptography`.
        algorithm: The algorithm; none fits that is not in `ASYMMETRIC`.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if algorithm in _CURVES:
        is_curve = isinstance(key, ec.EllipticCurvePublicKey)
        return is_curve and key.curve.name == _CURVES[algorithm]
    if algorithm == "EdDSA":
        return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    return algorithm in ASYMMETRIC and isinstance(key, rsa.RSAPublicKey)


def is_weak(key: Any) -> bool:
    """Whether a key is an RSA key that is too short (RFC 7518, section 3.3)."""
    size = getattr(key, "key_size", None)
    # Elliptic curves have other sizes, and PyJWT holds each to the curve of its algorithm.
    return (
        hasattr(key, "public_numbers")
        and hasattr(key.public_numbers(), "n")
        and (size is None or size < MIN_RSA_BITS)
    )


def _unknown_key() -> InvalidToken:
    """The error for a signature by a key that is not known."""
    return InvalidToken("The access token is signed by a key that is not known")


def _discovered(issuer: str, until: float) -> str:
    """The `jwks_uri` in the metadata of an issuer (basic/authorization/
    authorization-server-discovery, "Authorization Server Metadata Discovery")."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    places = [
        f"/.well-known/oauth-authorization-server{path}",
        f"/.well-known/openid-configuration{path}",
        f"{path}/.well-known/openid-configuration",
    ]
    problem = "it has no metadata"
    for place in dict.fromkeys(places):
        url = urlunsplit((parts.scheme, parts.netloc, place, "", ""))
        try:
            document = get_json(url, until)
        except Unreachable as error:
            problem = str(error)
            continue
        if document.get("issuer") != issuer:
            # RFC 8414, section 3.3.
            problem = f"{url} is of another issuer"
        elif isinstance(document.get("jwks_uri"), str):
            return secure_url(document["jwks_uri"], "jwks_uri")
    raise Unreachable(problem)
