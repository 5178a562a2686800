"""Access tokens that are JWTs (RFC 9068), verified with the keys of their issuer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from mcp_mount.auth.signing_keys import (
    ASYMMETRIC,
    KEPT_SECONDS,
    SigningKeys,
    of_issuer,
    public_key,
)
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
from mcp_mount.wire.tokens import AccessToken

_TRUSTED_SECONDS: Final = 60.0
"""How long a token is known to be good without verifying it again."""


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
        keys_ttl: float = KEPT_SECONDS,
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
        self._keys = (
            None if key is not None else SigningKeys(issuer, of_issuer(issuer, jwks_uri), keys_ttl)
        )
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
    text = key.encode() if isinstance(key, str) else key
    bits = [int(one[2:]) for one in algorithms if one.upper().startswith("HS")]
    if bits:
        if len(text) * 8 < max(bits):
            raise ValueError(f"key= has {len(text)} bytes; {max(bits) // 8} are the least")
        return text
    try:
        return public_key("key=", text)
    except ValueError as error:
        raise ValueError(f'{error} (for a shared secret, write algorithms="HS256", too)') from None
