"""Assertions: JWTs by which clients authenticate, and by which issuers vouch for people (RFC 7521,
RFC 7523).

Whatever is wrong with one is an `AssertionRefused`; whether its client is told the reason is up to
the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from math import isfinite
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.auth.authorization.errors import unavailable
from mcp_mount.auth.authorization.events import SignInEvent
from mcp_mount.auth.authorization.grants import ask_store
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.auth.signing_keys import KeyFinder, fits
from mcp_mount.auth.verifiers import MAX_CREDENTIAL, InvalidToken
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.errors import ProtocolError
from mcp_mount.wire.sealing import MAX_AHEAD

LEEWAY_SECONDS: Final = 30.0
"""How much clocks may differ."""

_MAX_SIGNATURES: Final = 20
"""How many keys without an id, or with the same one, are tried."""


class AssertionRefused(Exception):
    """An assertion that is not accepted. The message says why, in plain ASCII."""


class AssertionReused(AssertionRefused):
    """An assertion that was used before, perhaps by who has stolen it."""


def unverified(assertion: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The header and the claims of an assertion whose signature nobody has looked at.

    Args:
        assertion: The assertion.

    Raises:
        AssertionRefused: If it is no JWT.
    """
    import jwt as pyjwt

    if len(assertion) > MAX_CREDENTIAL:
        raise AssertionRefused("The assertion is too long")
    try:
        read = pyjwt.PyJWS().decode_complete(assertion, options={"verify_signature": False})
        header, claims = read["header"], from_json(read["payload"], allow_inf_nan=False)
    except Exception:
        # Not PyJWT's errors alone: both may nest too deep to be read, say.
        raise AssertionRefused("The assertion is no JWT") from None
    if not isinstance(claims, dict):
        raise AssertionRefused("The assertion is no JWT")
    return header, claims


def verified(
    assertion: str, keys: KeyFinder, *, kinds: Collection[str | None], algorithms: Collection[str]
) -> Flow[Mapping[str, Any]]:
    """The claims of an assertion with a good signature.

    Args:
        assertion: The assertion.
        keys: The keys of whoever is to have signed it.
        kinds: What its header `typ` may say, in lower case; None for nothing.
        algorithms: The algorithms that it may be signed by.

    Raises:
        AssertionRefused: If it is not accepted.
        OAuthError: 503, if the keys cannot be fetched.
    """
    header, _ = unverified(assertion)
    kind, algorithm, kid = header.get("typ"), header.get("alg"), header.get("kid")
    if isinstance(kind, str):
        kind = kind.lower().removeprefix("application/")
    # RFC 8725, section 3.11: whoever signs this signs other things, too.
    if (kind is not None and not isinstance(kind, str)) or kind not in kinds:
        raise AssertionRefused("The assertion is of another kind (typ)")
    # Never by what the header says alone: "none", or a public key as the secret of an HMAC.
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise AssertionRefused("The assertion is signed by an algorithm that is not accepted")
    if "crit" in header:
        # RFC 7515, section 4.1.11: nothing is understood here that must be.
        raise AssertionRefused("The assertion needs what this server does not understand (crit)")
    if kid is not None and not isinstance(kid, str):
        raise AssertionRefused("The key id of the assertion is no text")
    claims = None
    try:
        claims = _signed((yield from keys.find(kid)), assertion, algorithm)
        if claims is None:
            # Perhaps a new key, of no id or of the same.
            claims = _signed((yield from keys.find(kid, newer=True)), assertion, algorithm)
    except InvalidToken:
        raise AssertionRefused("The assertion is signed by a key that is not known") from None
    except ProtocolError:
        raise unavailable("The keys of whoever signed the assertion cannot be fetched") from None
    if claims is None:
        raise AssertionRefused("The signature of the assertion is not valid")
    return claims


def _signed(keys: Sequence[Any], assertion: str, algorithm: str) -> Mapping[str, Any] | None:
    """The claims of an assertion that one of these keys has signed; None if none has."""
    import jwt as pyjwt

    # That a key of another type fits no algorithm, some versions of PyJWT do not see.
    for key in [one for one in keys if fits(one, algorithm)][:_MAX_SIGNATURES]:
        with suppress(Exception):
            signed = pyjwt.PyJWS().decode_complete(assertion, key, algorithms=[algorithm])
            claims = from_json(signed["payload"], allow_inf_nan=False)
            return claims if isinstance(claims, dict) else None
    return None


def check_audience(claims: Mapping[str, Any], audience: Collection[str]) -> None:
    """Refuse an assertion that is not for this server, and for it alone.

    Args:
        claims: Its claims.
        audience: What `aud` may name.

    Raises:
        AssertionRefused: For another one, and for one that others could use as well.
    """
    named = claims.get("aud")
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    if not isinstance(named, str) or named not in audience:
        raise AssertionRefused("The assertion is for another audience (aud)")


def check_times(
    claims: Mapping[str, Any], now: float, *, most: float, needs_issued: bool = False
) -> float:
    """Refuse an assertion that is not of this time, or for too long a time.

    Args:
        claims: Its claims.
        now: The time, in seconds since the epoch.
        most: How far ahead its end may be, in seconds.
        needs_issued: Whether it must say when it was issued.

    Returns:
        Until when it must not be used again.

    Raises:
        AssertionRefused: For such a one.
    """
    end = _moment(claims, "exp")
    if end is None:
        raise AssertionRefused("The assertion has no end (exp)")
    if end <= now - LEEWAY_SECONDS:
        raise AssertionRefused("The assertion has expired")
    if end > now + most + LEEWAY_SECONDS:
        raise AssertionRefused(f"The assertion is good for more than {most:g} seconds")
    for name in ("iat", "nbf"):
        moment = _moment(claims, name)
        if moment is not None and moment > now + LEEWAY_SECONDS:
            raise AssertionRefused(f"The assertion is not good yet ({name})")
    if needs_issued and claims.get("iat") is None:
        raise AssertionRefused("The assertion does not say when it was issued (iat)")
    # A machine whose clock is behind takes it for good for so much longer.
    return end + LEEWAY_SECONDS + MAX_AHEAD


def use_once(
    store: ConnectionStore, assertion: str, claims: Mapping[str, Any], here: str, until: float
) -> Flow[None]:
    """Take an assertion for used.

    Args:
        store: Knows which ones were used, over all processes.
        assertion: The assertion.
        claims: Its claims.
        here: The issuer of this server, and what the assertion is used for: others may share the
            store.
        until: Until when it must not be used again.

    Raises:
        AssertionReused: If it was used before.
        OAuthError: 503, if the store does not answer.
    """
    name = claims.get("jti")
    if name is not None and not (isinstance(name, str) and name):
        raise AssertionRefused("The id of the assertion is no text (jti)")
    if name is None:
        # What is signed, and not the signature: of that there may be others for the same.
        name = ["signed", assertion.rpartition(".")[0]]
    key = sha256(to_json([here, claims.get("iss"), name])).hexdigest()
    if not (yield from ask_store(store.retire, key, until)):
        raise AssertionReused("The assertion was used before")


def refusal(
    error: AssertionRefused, client: str, request: WebRequest, client_host: str | None = None
) -> SignInEvent:
    """What happened when an assertion was refused.

    Args:
        error: Why.
        client: What the client is called that brought it.
        request: The request.
        client_host: Who vouches for that name; by default the application, which has configured it.
    """
    return SignInEvent(
        "assertion reused" if isinstance(error, AssertionReused) else "client refused",
        client=client,
        client_host=client_host or urlsplit(request.issuer).hostname,
        address=request.address,
        detail=str(error),
    )


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """The time in a claim, in seconds since the epoch.

    Raises:
        AssertionRefused: If it is no time.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            moment = float(value)
            if isfinite(moment):
                return moment
    raise AssertionRefused(f"The assertion has no valid {name}")
