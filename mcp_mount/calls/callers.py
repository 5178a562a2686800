"""By whose key a server keeps what is for one caller alone: results, tasks, states, counts.

That is another question than who the caller is. A host knows users by an id, and whether it knows
one decides between 401 and 403; but an id is often not enough of a key. In an application with
tenants two users have the same one, and a team's token may stand for no user at all.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, TypeAlias

from mcp_mount.wire.errors import access_denied
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import UNASKED, Request

logger = own_logger("mcp_mount")

CallerKey: TypeAlias = Callable[[Any], str | None]
"""A function of the host's own request: the key of its caller; None for one who has none."""


_TOLD_APART: Final = ("authorization", "x-api-key")
"""The headers by whose values callers without a key are told apart. Not cookies: they change."""

_MAX_OF_ADDRESS: Final = 20
_MAX_ADDRESSES: Final = 10_000
_FORGET_SECONDS: Final = 3600.0


class _Credentials:
    """The credentials that have come from each address lately: a few of them, by their digests."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, set[str]]] = OrderedDict()
        self._unlock()
        after_fork(self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def tells_apart(self, address: str, digest: str) -> bool:
        now = time.monotonic()
        with self._lock:
            since, digests = self._seen.pop(address, (now, set()))
            if now > since + _FORGET_SECONDS:
                since, digests = now, set()
            if len(digests) < _MAX_OF_ADDRESS:
                digests.add(digest)
            self._seen[address] = since, digests
            if len(self._seen) > _MAX_ADDRESSES:
                self._seen.popitem(last=False)
            return digest in digests


class Callers:
    """Tells the callers of one server apart.

    Attributes:
        function: The `caller=` of the server. Without one, a caller's key is their id, as the host
            or the access token knows it.
    """

    def __init__(self) -> None:
        self.function: CallerKey | None = None
        self._credentials = _Credentials()

    def key_of(self, request: Request) -> str | None:
        """The key of the caller; None for one who has none.

        Args:
            request: The request.

        Raises:
            ProtocolError: 401 or 403, if the function of the server fails: what belongs to nobody
                in particular must not go to somebody else.
        """
        if self.function is None:
            caller = request.caller()
            return None if caller is None else _plain("user", caller)
        if request.caller_key is UNASKED:
            request.caller_key = self._asked(self.function, request)
        key: str | None = request.caller_key
        return key

    def counted_as(self, request: Request) -> str:
        """The name that the calls of a caller are counted by.

        Without a key that is the address, with the credentials that come from there: a framework
        may let them in by itself (a dependency of FastAPI), and tells nobody. They can be made up
        to get another count, so that of one address only a few are told apart.
        """
        key = self.key_of(request)
        if key is not None:
            return key
        name = f"address:{request.address}"
        given = [request.headers[one] for one in _TOLD_APART if one in request.headers]
        if not given:
            return name
        digest = sha256("\n".join(given).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{name}:{digest}" if self._credentials.tells_apart(name, digest) else name

    def owner_of(self, request: Request) -> str:
        """The owner of what a caller begins here and comes back for.

        The same id may be another user's at another host, and somebody without a key is at least
        bound to where they came in. Credentials are not part of it: tokens are renewed while a
        task runs.
        """
        key = self.key_of(request)
        if key is not None and self.function is not None:
            return key
        return f"{key or 'anonymous'}@{place_of(request)}"

    def _asked(self, function: CallerKey, request: Request) -> str | None:
        host_request = request.host_request()
        if host_request is None and request.is_trusted_local:
            # At a console without a host there is no request to ask of, and one caller only.
            return "local"
        try:
            key: Any = function(host_request)
            if key is None:
                return None
            if isinstance(key, str) and key:
                return _plain("key", key)
            if hasattr(key, "close"):
                # A coroutine that nobody awaits would warn of that, in place of what follows.
                key.close()
            wrong = type(key).__name__ if key else repr(key)
            raise TypeError(f"caller= must return a text that is not empty, or None, not {wrong}")
        except Exception:
            logger.exception("The caller's key could not be told, so the caller is refused")
            raise access_denied(known=request.caller() is not None) from None


def _plain(kind: str, name: str) -> str:
    """The key of a name: as it is, or written out where it has lone surrogates, which no token and
    no store can carry."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"{kind}-escaped:{name!a}"
    return f"{kind}:{name}"


def place_of(request: Request) -> str:
    """Where a request came in: the name of the host, and the mount point, as its client wrote them.

    Without the port: tenants have names, while the ports of one application's processes differ.
    """
    name = request.headers.get("host", "").lower().rpartition("]")
    return f"{name[0]}{name[1]}{name[2].partition(':')[0]}{request.mount}"


def accepted_languages(request: Request) -> str:
    """The languages that a client asks for: what a host's translations go by, if it says nothing
    more exact."""
    return request.headers.get("accept-language", "").lower()
