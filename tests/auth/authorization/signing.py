"""Keys, and assertions that are signed with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.auth.authorization.shop import ISSUER, RESOURCE, Clock

JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_numbers = count()


@dataclass(frozen=True)
class Key:
    """A private key, and how its owner publishes the public one."""

    private: Any
    algorithm: str
    kid: str

    @property
    def jwk(self) -> dict[str, Any]:
        known: Any = pyjwt.get_algorithm_by_name(self.algorithm)
        public: dict[str, Any] = json.loads(known.to_jwk(self.private.public_key()))
        return {**public, "kid": self.kid, "use": "sig"}

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    @property
    def public_pem(self) -> bytes:
        made: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return made

    @property
    def private_pem(self) -> str:
        made: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return made.decode()

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A JWT; a claim or a member of the header that is None is left out."""
        given = {name: one for name, one in claims.items() if one is not None}
        algorithm = header.pop("alg", self.algorithm)
        return pyjwt.encode(
            given, self.private, algorithm=algorithm, headers={"kid": self.kid, **header}
        )


RSA = Key(rsa.generate_private_key(65537, 2048), "RS256", "rsa")
OTHER_RSA = Key(rsa.generate_private_key(65537, 2048), "RS256", "rsa")
EC = Key(ec.generate_private_key(ec.SECP256R1()), "ES256", "ec")
EC384 = Key(ec.generate_private_key(ec.SECP384R1()), "ES384", "ec384")
ED = Key(ed25519.Ed25519PrivateKey.generate(), "EdDSA", "ed")


def client_claims(client: str, now: float, **changed: Any) -> dict[str, Any]:
    """The claims of an assertion of a client."""
    return {
        "iss": client,
        "sub": client,
        "aud": ISSUER,
        "exp": int(now) + 300,
        "iat": int(now),
        "jti": f"assertion {next(_numbers)}",
        **changed,
    }


def person_claims(client: str, now: float, **changed: Any) -> dict[str, Any]:
    """The claims of an ID-JAG."""
    return {
        "iss": "https://login.example.com",
        "sub": "00u1",
        "aud": ISSUER,
        "client_id": client,
        "resource": RESOURCE,
        "scope": "orders:read",
        "exp": int(now) + 300,
        "iat": int(now),
        "jti": f"id-jag {next(_numbers)}",
        **changed,
    }


def assertion_of(key: Key, client: str, clock: Clock, **changed: Any) -> str:
    return key.sign(client_claims(client, clock.now, **changed))
