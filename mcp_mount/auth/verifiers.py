"""What verifies the credentials of a request, and users' own functions as such."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from math import isfinite
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from mcp_mount.calls.flows import Flow, Run, awaited
from mcp_mount.schemas.functions import DefinitionError, is_coroutine_function
from mcp_mount.schemas.names import naming_options, several_names
from mcp_mount.schemas.values import unlike
from mcp_mount.wire.tokens import AccessToken

T = TypeVar("T")

MAX_CREDENTIAL: Final = 16 * 1024
"""The longest token that is looked at, in characters; web servers take no longer headers."""

_MAX_KNOWN: Final = 4096


class InvalidToken(Exception):
    """Credentials that are not accepted. The message is for the client: nothing secret in it."""


class Verifier(Protocol):
    """Verifies one kind of credentials.

    Attributes:
        authorization_servers: The issuers that a client may get tokens from (RFC 9728).
        name: Tells its callers apart from those of other verifiers of the server.
        needs_resource: Whether it must know the URL that a token is to be for.
    """

    authorization_servers: Sequence[str]
    name: str
    needs_resource: bool

    def credential(self, headers: Mapping[str, str]) -> str | None:
        """The credential of this kind in a request; None if it has none.

        Args:
            headers: The headers of the request, by their names in lower case.
        """

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        """The access token that a credential stands for.

        Args:
            credential: The credential, as the client sent it.
            resource: The URL that a token must be for, if it is known.

        Raises:
            InvalidToken: If the credential is not accepted.
            ProtocolError: 503, if it cannot be verified now.
        """


@runtime_checkable
class Issuer(Verifier, Protocol):
    """A verifier of the tokens that the server issues itself (`SignIn`)."""

    def issuer_at(self, url: str) -> str:
        """The issuer for the MCP endpoint at a URL.

        Args:
            url: The URL of the endpoint.
        """

    @property
    def find_user(self) -> Callable[[AccessToken], Any] | None:
        """Finds the host's user of one of its tokens; None if the host has no way to."""


def verifiers_of(auth: Any) -> Sequence[Verifier]:
    """What `auth=` names: one verifier, or several.

    Raises:
        DefinitionError: For what verifies nothing.
        ValueError: For an empty list, with which everybody would be refused.
    """
    several = auth if isinstance(auth, list | tuple) else [auth]
    if not several:
        raise ValueError("auth=[] names nothing that verifies credentials; None asks for none")
    for one in several:
        other = unlike(one, Verifier)
        if other is not None:
            raise DefinitionError(
                "auth= takes objects such as JWT('https://…'), Introspection(…), APIKeys(…) or "
                f"TokenVerifier(function), not {other}"
            )
    return several


def bearer_of(headers: Mapping[str, str]) -> str | None:
    """The token of the Authorization header (RFC 6750, section 2.1)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class TokenVerifier:
    """Bearer tokens by a function of your own, plain or coroutine.

    The function must refuse tokens that were issued for other servers.

    Args:
        verify: Takes the token, and a parameter `resource`, if it has one: the URL that the token
            must be for. Returns an AccessToken, or None for a token that is not valid.
        authorization_servers: The issuers that clients get their tokens from.

    Raises:
        TypeError: If `verify` is not a function.
        ValueError: If the URL of an authorization server is not secure.
    """

    name = "own"

    @naming_options
    def __init__(
        self,
        verify: Callable[..., Any],
        *,
        authorization_servers: str | Sequence[str] = (),
    ) -> None:
        if not callable(verify):
            raise TypeError("TokenVerifier takes a function of the token")
        self.authorization_servers: Sequence[str] = [
            secure_url(one, "an authorization server")
            for one in several_names("authorization_servers", authorization_servers)
        ]
        self._function = verify
        self._is_async = is_coroutine_function(verify)
        self.needs_resource = "resource" in inspect.signature(verify).parameters

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer_of(headers)

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        function = partial(self._function, credential)
        if self.needs_resource:
            function = partial(function, resource=resource)
        token = yield Run(function, self._is_async)
        if inspect.isawaitable(token):
            # Of a plain function that calls a coroutine function, `lambda token: look_up(token)`.
            token = yield Run(partial(awaited, token), True)
        if not isinstance(token, AccessToken):
            raise InvalidToken("The access token is not valid")
        return token


class VerificationCache(Generic[T]):
    """What is known of credentials for a while, by their digests: they are not kept.

    Args:
        clock: The time, in seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> T | None:
        expires, value = self._entries.get(key, (0.0, None))
        return value if expires > self._clock() else None

    def put(self, key: bytes, value: T, ttl: float) -> None:
        if ttl <= 0:
            return
        with self._lock:
            self._entries[key] = (self._clock() + ttl, value)
            while (
                len(self._entries) > _MAX_KNOWN
                or next(iter(self._entries.values()))[0] <= self._clock()
            ):
                self._entries.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """Know nothing of a credential any more."""
        with self._lock:
            self._entries.pop(key, None)


def refuse_bound(claims: Mapping[str, Any]) -> None:
    """Refuse a token that is good only together with a key of its client (`cnf`, RFC 7800).

    Whoever has stolen it could use it as a bearer token: neither proofs of possession (RFC 9449,
    section 7.1) nor client certificates (RFC 8705) are asked for here.

    Raises:
        InvalidToken: For such a token.
    """
    if claims.get("cnf") is not None:
        raise InvalidToken("The access token is bound to a key, so it is no bearer token")


def digest(credential: str, resource: str | None) -> bytes:
    return sha256(f"{resource}\n{credential}".encode("utf-8", "surrogatepass")).digest()


def names_in(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """The names in a claim: a list, or a text with spaces.

    Args:
        claims: The claims of a token.
        path: The claim; "realm_access.roles" looks deeper.
    """
    value: Any = claims
    for name in [path] if path in claims else path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list | tuple | set | frozenset):
        return frozenset(one for one in value if isinstance(one, str))
    return frozenset()


def text_in(claims: Mapping[str, Any], name: str) -> str | None:
    """The text in a claim, such as a subject; of a whole number its digits, None for all else."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value) or None
    except ValueError:
        # A number of more digits than Python writes out.
        return None


def moment_in(claims: Mapping[str, Any], name: str) -> float:
    """The time in a claim (RFC 7519, section 2: a JSON number), in seconds since the epoch.

    Args:
        claims: The claims of a token.
        name: The claim.

    Raises:
        InvalidToken: If it is not a number, or not a time.
    """
    value = claims.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            moment = float(value)
            if isfinite(moment):
                return moment
    raise InvalidToken(f"The access token has no valid {name!r}")


def is_meant_for(claims: Mapping[str, Any], audience: Sequence[str]) -> bool:
    """Whether the `aud` of a token names one of these (RFC 7519, section 4.1.3)."""
    named = claims.get("aud")
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list):
        return False
    wanted = {one.rstrip("/") for one in audience}
    return any(isinstance(one, str) and one.rstrip("/") in wanted for one in named)


def secure_url(url: str, what: str) -> str:
    """A URL, if tokens and keys may go through it: https, or http on this machine.

    Args:
        url: The URL.
        what: What it is, for the error.

    Raises:
        ValueError: If it is not secure.
    """
    parts = urlsplit(url)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in (("http", "https") if is_local else ("https",)):
        raise ValueError(f"{what} must be an https:// URL, not {url!r}")
    return url
