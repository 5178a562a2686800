"""Connections: each is one person's consent for one assistant, and the only state that is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

MAX_LISTED: Final = 1000
"""The most connections that a list has."""

_SWEPT_FROM: Final = 1000
"""From how many retired ids on the memory of a process is cleared of those that are over."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One person's consent for one assistant: what codes and tokens stand for.

    Attributes:
        id: Its id, which codes and tokens carry.
        user: The id of the person, as the host knows it.
        client: The digest of the client's id.
        client_name: What the client calls itself.
        client_host: The host that published the client's metadata; None for a client that has
            registered itself, which anybody can do under any name.
        resource: The URL of the MCP endpoint that its tokens are for.
        scopes: What was granted.
        stamp: The digest of what the host said of the person's credentials when they consented;
            tokens end when it changes, as by a new password.
        created: When the code was redeemed, in seconds since the epoch.
        used: When its refresh token was last replaced.
        generation: How often its refresh token has been replaced.
        revoked: When it was revoked; None as long as it holds.
    """

    id: str
    user: str
    client: str
    client_name: str
    client_host: str | None
    resource: str
    scopes: tuple[str, ...]
    stamp: str
    created: float
    used: float
    generation: int = 0
    revoked: float | None = None

    def has_ended(self, used: float, revoked: float) -> bool:
        """Whether it was revoked before `revoked`, or else was last used before `used`.

        Args:
            used: What its last use is compared with, in seconds since 1970.
            revoked: What its revocation is compared with, likewise.
        """
        return self.used < used if self.revoked is None else self.revoked < revoked


def chosen(
    connections: Iterable[Connection], user: str | None, client: str | None
) -> Sequence[Connection]:
    """What `ConnectionStore.list` returns of some connections."""
    found = [
        one
        for one in connections
        if one.revoked is None
        and user in (None, one.user)
        and client in (None, one.client_name, one.client_host)
    ]
    return sorted(found, key=lambda one: one.created, reverse=True)[:MAX_LISTED]


@runtime_checkable
class ConnectionStore(Protocol):
    """Keeps connections. Each operation is atomic, over all processes that share the store.

    The functions may block; they are called where the host lets plain functions run. They raise
    whatever their database raises: the client is told to try again later.
    """

    is_shared: bool
    """Whether all processes of the application see the same connections, after restarts as well."""

    def add(self, connection: Connection) -> bool:
        """Add a connection.

        Args:
            connection: The connection.

        Returns:
            False, and nothing has changed, if its id is there already.
        """

    def get(self, id: str) -> Connection | None:
        """The connection with an id; None if there is none.

        Args:
            id: Its id.
        """

    def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
        """Count the generation of a connection up, if it is `generation` and not revoked.

        Args:
            id: The connection.
            generation: Its present generation.
            used: The time, in seconds since the epoch.
            stamp: The newest stamp of its person.

        Returns:
            Whether it was so: of several callers one is told True.
        """

    def revoke(self, id: str, at: float) -> bool:
        """Revoke a connection.

        Args:
            id: Its id.
            at: When it ends, in seconds since 1970.

        Returns:
            Whether it was there and not revoked before.
        """

    def list(self, user: str | None = None, client: str | None = None) -> Sequence[Connection]:
        """The connections that hold, the newest first, of which at most `MAX_LISTED` are returned.

        Args:
            user: The id of their person; None for all.
            client: The name of their client, or the host that published its metadata; None for
                all.
        """

    def purge(self, before: float, revoked: float | None = None) -> int:
        """Delete connections that ended before a time, and forget the retired ids whose time is
        over.

        Args:
            before: When those were last used that were not revoked.
            revoked: When the others were revoked; by default the same time.

        Returns:
            How many connections there were.
        """

    def retire(self, id: str, until: float) -> bool:
        """Note that an id is not good any more: that of an assertion, which is used once, or of a
        token that was revoked.

        Args:
            id: At most 64 characters.
            until: When the id may be forgotten, in seconds since the epoch.

        Returns:
            Whether it was good until now: of several callers one is told True.
        """

    def is_retired(self, id: str) -> bool:
        """Whether an id is not good any more.

        Args:
            id: The id, as `retire` takes it.
        """


class MemoryConnections:
    """Connections in the memory of one process: they end with it."""

    is_shared = False

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._retired: dict[str, float] = {}
        self._next_sweep = _SWEPT_FROM
        self._lock = threading.Lock()

    def add(self, connection: Connection) -> bool:
        with self._lock:
            if connection.id in self._connections:
                return False
            self._connections[connection.id] = connection
            return True

    def get(self, id: str) -> Connection | None:
        return self._connections.get(id)

    def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
        with self._lock:
            known = self._connections.get(id)
            if known is None or known.generation != generation or known.revoked is not None:
                return False
            self._connections[id] = replace(
                known, generation=generation + 1, used=used, stamp=stamp
            )
            return True

    def revoke(self, id: str, at: float) -> bool:
        with self._lock:
            known = self._connections.get(id)
            if known is None or known.revoked is not None:
                return False
            self._connections[id] = replace(known, revoked=at)
            return True

    def list(self, user: str | None = None, client: str | None = None) -> Sequence[Connection]:
        with self._lock:
            return chosen(self._connections.values(), user, client)

    def purge(self, before: float, revoked: float | None = None) -> int:
        with self._lock:
            ended = [
                one.id
                for one in self._connections.values()
                if one.has_ended(before, before if revoked is None else revoked)
            ]
            for one in ended:
                del self._connections[one]
            self._forget()
            return len(ended)

    def retire(self, id: str, until: float) -> bool:
        with self._lock:
            if id in self._retired:
                return False
            if len(self._retired) >= self._next_sweep:
                self._forget()
                self._next_sweep = 2 * len(self._retired) + _SWEPT_FROM
            self._retired[id] = until
            return True

    def is_retired(self, id: str) -> bool:
        return id in self._retired

    def _forget(self) -> None:
        """Forget the retired ids whose time is over."""
        now = time.time()
        self._retired = {id: until for id, until in self._retired.items() if until >= now}
