"""Access tokens that are JWTs (RFC 9068), verified with the keys of their issuer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.auth.http import Unreachable, get_json
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
from mcp_mount.protocol.flows import Flow, Run, Wait
from mcp_mount.protocol.logs import own_logger
from mcp_mount.protocol.tokens import AccessToken

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


class JWT:
    """Bearer tokens that are JWTs of one issuer.

    issuer: the `iss` of its tokens, the URL by which clients find the authorization server.
    jwks_uri: of its keys; by default what its metadata say (RFC 8414, OpenID Connect Discovery).
    key: a public key (PEM) in place of those, or a secret, if `algorithms` says HS256. audience:
    what the `aud` of a token must name; by default the URL of this server (RFC 8707). algorithms:
    those accepted; never "none". leeway: how much clocks may differ, in seconds. keys_ttl: for how
    long keys are kept, in seconds; those of an unknown id are looked up at once. scopes_claim,
    roles_claim, subject_claim: where a token says that; "realm_access.roles" looks deeper.

    Raises ValueError for what is not secure. Needs the extra `auth`.
    """

    def __init__(
        self,
        issuer: str,
        *,
        jwks_uri: str | None = None,
        key: str | bytes | None = None,
        audience: str | Sequence[str] | None = None,
        algorithms: Sequence[str] = ASYMMETRIC,
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
        symmetric = [one for one in algorithms if one.upper().startswith("HS")]
        if any(one.lower() == "none" for one in algorithms) or not algorithms:
            raise ValueError("algorithms must name some, and not 'none'")
        if symmetric and (key is None or len(symmetric) < len(algorithms)):
            # With both kinds, a public key could pass for a secret.
            raise ValueError("HS algorithms need key=, and no others beside them")
        self._issuer = issuer
        self._algorithms = frozenset(algorithms)
        self._audience = [audience] if isinstance(audience, str) else audience
        self.needs_resource = not audience
        self._leeway = leeway
        self._claims = (scopes_claim, roles_claim, subject_claim)
        self._fixed = key
        self._keys = None if key is not None else _Keys(issuer, jwks_uri, keys_ttl)
        self._known: Known[AccessToken] = Known()

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
        try:
            header = self._jwt.get_unverified_header(credential)
        except self._jwt.PyJWTError:
            raise InvalidToken("The access token is no JWT") from None
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise InvalidToken("The access token is signed by an algorithm that is not accepted")
        if self._keys is None:
            claims = self._decoded_by([self._fixed], credential, algorithm)
        else:
            kid = header.get("kid")
            claims = self._decoded_by((yield from self._keys.find(kid)), credential, algorithm)
            if claims is None:
                # Perhaps a new key, of no id or of the same.
                newer = yield from self._keys.find(kid, newer=True)
                claims = self._decoded_by(newer, credential, algorithm)
        if claims is None:
            raise InvalidToken("The signature of the access token is not valid")
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
        except (self._jwt.InvalidSignatureError, self._jwt.InvalidKeyError):
            raise
        except self._jwt.ExpiredSignatureError:
            raise InvalidToken("The access token has expired") from None
        except self._jwt.InvalidIssuerError:
            raise InvalidToken("The access token is of another issuer") from None
        except self._jwt.PyJWTError as error:
            raise InvalidToken(f"The access token is not valid: {type(error).__name__}") from None

    def _token(self, claims: dict[str, Any]) -> AccessToken:
        scopes, roles, subject = self._claims
        client = claims.get("client_id", claims.get("azp"))
        return AccessToken(
            str(claims[subject]),
            names_in(claims, scopes) or names_in(claims, "scp"),
            names_in(claims, roles),
            None if client is None else str(client),
            self._issuer,
            float(claims["exp"]),
            claims,
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
        self._fetching: Future[None] | None = None
        self._lock = threading.Lock()

    def find(self, kid: str | None, *, newer: bool = False) -> Flow[Sequence[Any]]:
        """The keys that a token may be signed with. newer: since those that are known did not fit.

        Raises InvalidToken for a key id that the issuer does not have, ProtocolError (503) where
        it cannot be asked.
        """
        now = time.monotonic()
        if newer or now > self._fetched + self._ttl or not self._matching(kid):
            yield from self._refresh(now)
        if not self._found or time.monotonic() > self._fetched + self._ttl + _STALE_SECONDS:
            raise ProtocolError(
                INTERNAL_ERROR, "The authorization server cannot be reached", status=503
            )
        matching = self._matching(kid)
        if not matching:
            raise InvalidToken("The access token is signed by a key that is not known")
        return matching

    def _matching(self, kid: str | None) -> list[Any]:
        return [key.key for known, key in self._found if kid is None or known == kid]

    def _refresh(self, now: float) -> Flow[None]:
        """Fetch the keys, once for all who wait for them."""
        with self._lock:
            waiting = self._fetching
            if waiting is None:
                if now < self._tried + _COOLDOWN_SECONDS:
                    return
                self._tried = now
                own: Future[None] = Future()
                self._fetching = own
        if waiting is not None:
            yield Wait(waiting)
            return
        try:
            found = yield Run(self._fetch)
            self._found, self._fetched = found, time.monotonic()
        except Unreachable as error:
            logger.warning("The keys of %s cannot be fetched: %s", self._issuer, error)
        finally:
            self._fetching = None
            own.set_result(None)

    def _fetch(self) -> list[tuple[str | None, pyjwt.PyJWK]]:
        import jwt as pyjwt

        if self._uri is None:
            self._uri = _discovered(self._issuer)
        document = get_json(self._uri)
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
            with suppress(pyjwt.PyJWTError):
                found.append((one.get("kid"), pyjwt.PyJWK(one)))
        return found


def _discovered(issuer: str) -> str:
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
            document = get_json(url)
        except Unreachable as error:
            problem = str(error)
            continue
        if document.get("issuer") != issuer:
            # RFC 8414, section 3.3.
            problem = f"{url} is of another issuer"
        elif isinstance(document.get("jwks_uri"), str):
            return secure_url(document["jwks_uri"], "jwks_uri")
    raise Unreachable(problem)
