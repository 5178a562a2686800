"""Access tokens that are JWTs (RFC 9068), verified with the keys of their issuer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.auth.fetching import Fetcher, unreachable
from mcp_mount.auth.http import Unreachable, deadline, get_json
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
from mcp_mount.schemas.names import naming_options, several_names, suggestion
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.tokens import AccessToken

if TYPE_CHECKING:
    import jwt as pyjwt

logger = own_logger("mcp_mount")

ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)

_TRUSTED_SECONDS: Final = 60.0
"""How long a token is known to be good without verifying it again."""

_COOLDOWN_SECONDS: Final = 10.0
"""How often keys are fetched at most, whatever key ids clients make up."""

_STALE_SECONDS: Final = 3600.0
"""How long keys are used whose issuer cannot be reached."""

_MIN_RSA_BITS: Final = 2048


class JWT:
    """Bearer tokens that are JWTs of one issuer (RFC 9068). Needs the extra `auth`.

    Args:
        issuer: The `iss` of its tokens, the URL by which clients find the authorization server.
        jwks_uri: The URL of its keys; by default what its metadata say (RFC 8414, OpenID Connect
            Discovery).
        key: A public key (PEM) in place of those, or a shared secret, with `algorithms="HS256"`.
        audience: What the `aud` of a token must name; by default the URL of this server (RFC 8707).
        algorithms: The algorithms that are accepted; never "none".
        leeway: How much clocks may differ, in seconds.
        keys_ttl: How long keys are kept, in seconds; a key with an unknown id is looked up at once.
        scopes_claim: The claim with the scopes; "realm_access.scopes" looks deeper.
        roles_claim: The claim with the roles.
        subject_claim: The claim with the id of the caller.

    Raises:
        ValueError: If a URL, a key or an algorithm is not secure.
    """

    @naming_options
    def __init__(
        self,
        issuer: str,
        *,
        jwks_uri: str | None = None,
        key: str | bytes | None = None,
        audience: str | Sequence[str] | None = None,
        algorithms: str | Sequence[str] = ASYMMETRIC,
        leeway: float = 30.0,
        keys_ttl: float = 300.0,
        scopes_claim: str = "scope",
        roles_claim: str = "roles",
        subject_claim: str = "sub",
    ) -> None:
        with requires("auth", "auth=JWT(…)"):
            import jwt as pyjwt
        self._jwt = pyjwt
        self.name = issuer
        self.authorization_servers = (secure_url(issuer, "issuer"),)
        algorithms = several_names("algorithms", algorithms)
        symmetric = [one for one in algorithms if one.upper().startswith("HS")]
        if any(one.lower() == "none" for one in algorithms) or not algorithms:
            raise ValueError("algorithms must name some, and not 'none'")
        for one in algorithms:
            known = set(pyjwt.algorithms.get_default_algorithms()) - {"none"}
            if one not in known:
                # No token could be verified by it: all would be refused.
                raise ValueError(f"algorithms names {one!r}; {suggestion(one, known)}")
        if symmetric and (key is None or len(symmetric) < len(algorithms)):
            # With both kinds, a public key could pass for a secret.
            raise ValueError("HS algorithms need key=, and no others beside them")
        self._issuer = issuer
        self._algorithms = frozenset(algorithms)
        self._audience = [audience] if isinstance(audience, str) else audience
        self.needs_resource = not audience
        self._leeway = leeway
        self._claims = (scopes_claim, roles_claim, subject_claim)
        self._fixed = None if key is None else _fixed_key(key, algorithms)
        self._keys = None if key is not None else _Keys(issuer, jwks_uri, keys_ttl)
        self._known: VerificationCache[AccessToken] = VerificationCache()

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer_of(headers)

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        key = digest(credential, resource)
        token = self._known.get(key)
        if token is None:
            claims = yield from self._verified(credential)
            audience = self._audience or ([] if resource is None else [resource])
            if not is_meant_for(claims, audience):
                raise InvalidToken("The access token is for another resource")
            token = self._token(claims)
            self._known.put(key, token, _TRUSTED_SECONDS)
        if token.expires_at is not None and token.expires_at + self._leeway < time.time():
            raise InvalidToken("The access token has expired")
        return token

    def _verified(self, credential: str) -> Flow[dict[str, Any]]:
        """The claims of a token with a good signature, of this issuer, at its time."""
        if len(credential) > MAX_CREDENTIAL:
            raise InvalidToken("The access token is too long")
        try:
            header = self._jwt.get_unverified_header(credential)
        except Exception:
            # Not PyJWT's errors alone: a header may nest too deep to be read, say.
            raise InvalidToken("The access token is no JWT") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken("The access token is signed by an algorithm that is not accepted")
        if "crit" in header:
            # RFC 7515, section 4.1.11: nothing is understood here that must be.
            raise InvalidToken("The access token needs what this server does not understand")
        if not _is_access_token(header.get("typ")):
            # RFC 8725, section 3.11: the issuer signs other things too, such as logout tokens.
            raise InvalidToken("The token is of a kind that is no access token")
        if kid is not None and not isinstance(kid, str):
            raise InvalidToken("The key id of the access token is no text")
        if self._keys is None:
            claims = self._decoded_by([self._fixed], credential, algorithm)
        else:
            claims = self._decoded_by((yield from self._keys.find(kid)), credential, algorithm)
            if claims is None:
                # Perhaps a new key, of no id or of the same.
                newer = yield from self._keys.find(kid, newer=True)
                claims = self._decoded_by(newer, credential, algorithm)
        if claims is None:
            raise InvalidToken("The signature of the access token is not valid")
        refuse_bound(claims)
        return claims

    def _decoded_by(
        self, candidates: Sequence[Any], credential: str, algorithm: str
    ) -> dict[str, Any] | None:
        """The claims of a token that one of these keys has signed; None if none has."""
        for candidate in candidates:
            with suppress(self._jwt.InvalidSignatureError, self._jwt.InvalidKeyError, TypeError):
                return self._decoded(credential, candidate, algorithm)
        return None

    def _decoded(self, credential: str, key: Any, algorithm: str) -> dict[str, Any]:
        try:
            return self._jwt.decode(
                credential,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iss", self._claims[2]], "verify_aud": False},
            )
        except (self._jwt.InvalidSignatureError, self._jwt.InvalidKeyError, TypeError):
            # A key of another kind, which may be tried although it has no id.
            raise
        except self._jwt.ExpiredSignatureError:
            raise InvalidToken("The access token has expired") from None
        except self._jwt.InvalidIssuerError:
            raise InvalidToken("The access token is of another issuer") from None
        except Exception as error:
            # Claims may be anything: a time without end, numbers of any length, deep nests.
            raise InvalidToken(f"The access token is not valid: {type(error).__name__}") from None

    def _token(self, claims: dict[str, Any]) -> AccessToken:
        scopes, roles, subject_claim = self._claims
        subject = text_in(claims, subject_claim)
        if subject is None:
            raise InvalidToken("The access token names nobody")
        return AccessToken(
            subject,
            names_in(claims, scopes) or names_in(claims, "scp"),
            names_in(claims, roles),
            text_in(claims, "client_id") or text_in(claims, "azp"),
            self._issuer,
            moment_in(claims, "exp"),
            claims,
        )


def _is_access_token(kind: Any) -> bool:
    """Whether a `typ` header may be that of an access token (RFC 9068, section 4); many issuers say
    "JWT", or nothing."""
    return kind is None or (
        isinstance(kind, str) and kind.lower().removeprefix("application/") in ("at+jwt", "jwt")
    )


def _fixed_key(key: str | bytes, algorithms: Sequence[str]) -> Any:
    """A key as it is given, ready for use.

    Raises:
        ValueError: For one that is too weak (RFC 7518, sections 3.2 and 3.3), and for a private
            key: the verifier of signatures needs none, and must not have what makes them.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = key.encode() if isinstance(key, str) else key
    bits = [int(one[2:]) for one in algorithms if one.upper().startswith("HS")]
    if bits:
        if len(text) * 8 < max(bits):
            raise ValueError(f"key= has {len(text)} bytes; {max(bits) // 8} are the least")
        return text
    if b"PRIVATE" in text:
        raise ValueError("key= is a private key: give the public one")
    try:
        public = load_pem_public_key(text)
    except ValueError:
        raise ValueError(
            'key= is no public key (PEM); for a shared secret, write algorithms="HS256", too'
        ) from None
    if _is_weak(public):
        raise ValueError(f"key= has fewer than {_MIN_RSA_BITS} bits")
    return public


def _is_weak(key: Any) -> bool:
    """Whether a key is an RSA key that is too short (RFC 7518, section 3.3)."""
    size = getattr(key, "key_size", None)
    # Elliptic curves have other sizes, and PyJWT holds each to the curve of its algorithm.
    return (
        hasattr(key, "public_numbers")
        and hasattr(key.public_numbers(), "n")
        and (size is None or size < _MIN_RSA_BITS)
    )


class _Keys:
    """The keys of an issuer, by their ids; fetched when they are first needed."""

    def __init__(self, issuer: str, uri: str | None, ttl: float) -> None:
        self._issuer = issuer
        self._uri = None if uri is None else secure_url(uri, "jwks_uri")
        self._ttl = ttl
        self._found: list[tuple[str | None, pyjwt.PyJWK]] = []
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
            InvalidToken: If the issuer has no key with this id.
            ProtocolError: 503, if the issuer does not answer.
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
            raise InvalidToken("The access token is signed by a key that is not known")
        return matching

    def _matching(self, kid: str | None) -> list[Any]:
        return [key.key for known, key in self._found if kid is None or known == kid]

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
            self._found, self._fetched = self._fetch(), time.monotonic()
        except Unreachable as error:
            logger.warning("The keys of %s cannot be fetched: %s", self._issuer, error)

    def _fetch(self) -> list[tuple[str | None, pyjwt.PyJWK]]:
        import jwt as pyjwt

        until = deadline()
        if self._uri is None:
            self._uri = _discovered(self._issuer, until)
        document = get_json(self._uri, until)
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise Unreachable(f"{self._uri} has no keys")
        found: list[tuple[str | None, pyjwt.PyJWK]] = []
        for one in keys:
            if not isinstance(one, dict) or one.get("use", "sig") != "sig":
                continue
            if one.get("kty") == "oct":
                # A secret has no place among public keys.
                continue
            if "d" in one:
                # Whoever reads the document can sign with it (RFC 7517, section 9.2).
                logger.warning("A private key among the keys of %s is not used", self._issuer)
                continue
            try:
                key = pyjwt.PyJWK(one)
            except Exception as error:
                # Of a kind that is not known, or none: the others may do.
                logger.info("A key of %s cannot be read: %s", self._issuer, type(error).__name__)
                continue
            if _is_weak(key.key):
                logger.warning(
                    "A key of %s has fewer than %d bits and is not used",
                    self._issuer,
                    _MIN_RSA_BITS,
                )
                continue
            found.append((one.get("kid"), key))
        return found


def _discovered(issuer: str, until: float) -> str:
    """The `jwks_uri` in the metadata of an issuer (basic/authorization/
    authorization-server-discovery, "Authorization Server Metadata Discovery")."""
    from urllib.parse import urlsplit, urlunsplit

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
