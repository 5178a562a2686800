"""API keys: secrets that stand for a user or a service, without OAuth."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from mcp_mount.auth.verifiers import InvalidToken, bearer_of
from mcp_mount.calls.flows import Flow, Run
from mcp_mount.schemas.functions import is_coroutine_function
from mcp_mount.schemas.names import naming_options
from mcp_mount.schemas.permissions import Names
from mcp_mount.wire.credentials import credential_headers
from mcp_mount.wire.tokens import AccessToken


@dataclass(frozen=True, slots=True)
class APIKey:
    """An API key, and the caller that it stands for.

    Attributes:
        subject: The id of the caller.
        key: The secret.
        scopes: The scopes that the caller has.
        roles: The roles that the caller has.
    """

    subject: str
    key: str
    scopes: Names = ()
    roles: Names = ()

    def __repr__(self) -> str:
        return f"APIKey({self.subject!r}, …)"


class APIKeys:
    """Keys in the header `X-API-Key`, or as a bearer token. Known keys are compared in constant
    time.

    Args:
        keys: `APIKey`s, or secrets by the ids of the callers that they stand for.
        find: Looks a key up and returns an AccessToken, or None; plain or coroutine function. Store
            digests of keys, not the keys.
        header: The name of the header.
    """

    authorization_servers: Sequence[str] = ()
    name = "key"
    needs_resource = False

    @naming_options
    def __init__(
        self,
        keys: Mapping[str, str] | APIKey | Iterable[APIKey] = (),
        *,
        find: Callable[[str], Any] | None = None,
        header: str = "X-API-Key",
    ) -> None:
        if isinstance(keys, Mapping):
            keys = [APIKey(subject, key) for subject, key in keys.items()]
        if callable(keys):
            raise TypeError("APIKeys takes a function that looks keys up as find=")
        if isinstance(keys, APIKey):
            keys = [keys]
        keys = list(keys)
        if not all(isinstance(one, APIKey) for one in keys):
            # The value is not shown: it may be a secret.
            raise TypeError(
                "APIKeys takes APIKey('name', 'secret') objects, or a dictionary {'name': 'secret'}"
            )
        self._known = [(_digest(one.key), _token(one)) for one in keys if _usable(one)]
        self._find = find
        self.header = header
        self._header = header.lower()
        credential_headers.add(self._header)

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return headers.get(self._header) or bearer_of(headers)

    def verify(self, credential: str, resource: str | None) -> Flow[AccessToken]:
        given, found = _digest(credential), None
        for known, token in self._known:
            # No early end: the time tells nothing of the place.
            if hmac.compare_digest(known, given):
                found = token
        if found is None and self._find is not None:
            find = self._find
            found = yield Run(partial(find, credential), is_coroutine_function(find))
        if not isinstance(found, AccessToken):
            raise InvalidToken("The API key is not valid")
        return found


def _usable(key: APIKey) -> bool:
    if len(key.key) < 16:
        raise ValueError(f"the API key of {key.subject!r} has fewer than 16 characters")
    return True


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _token(key: APIKey) -> AccessToken:
    scopes, roles = (
        frozenset(names.split() if isinstance(names, str) else names)
        for names in (key.scopes, key.roles)
    )
    return AccessToken(key.subject, scopes, roles)
