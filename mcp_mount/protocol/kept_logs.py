"""The streams of this process that clients may come back to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from mcp_mount.protocol.resumption import EventLog
from mcp_mount.wire.forks import after_fork

_MAX_LOGS: Final = 10_000
"""How many logs of streams are kept; the oldest go first."""

_MAX_LOG_BYTES: Final = 64 * 1024 * 1024
"""How large all logs together may be; the oldest that nobody reads go first."""

_SWEPT: Final = 4
"""How many logs are looked at, whether they have expired, for each one that is asked for."""


@dataclass(slots=True)
class _Kept:
    """A log that is kept.

    Attributes:
        ttl: How many seconds after its last reader it is dropped.
        counted: Its size, in bytes.
    """

    log: EventLog
    ttl: float
    counted: int = 0

    @property
    def is_expired(self) -> bool:
        log = self.log
        return (log.ended or log.polled) and log.unread_seconds() > self.ttl


class KeptLogs:
    """The logs of streams, by session and stream. Safe to use from any thread."""

    def __init__(self) -> None:
        self._clear()
        after_fork(self._clear)

    def _clear(self) -> None:
        # A signal handler may tell a change while its thread is in here.
        self._lock = threading.RLock()
        self._logs: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._bytes = 0
        self._own: dict[str, EventLog] = {}

    def keep(self, session: str, log: EventLog, *, ttl: float) -> None:
        """Keep the log of a stream, and for `ttl` seconds after its end or its last reader's."""
        key = session, log.id
        with self._lock:
            self._logs[key] = _Kept(log, ttl)
            log.on_growth = partial(self._grew, key)
            self._grew(key, log.bytes)
            self._sweep()
            if len(self._logs) > _MAX_LOGS:
                self._drop(next(iter(self._logs)))

    def find_own(self, session: str) -> EventLog | None:
        """The log of a session's own stream, if it is kept."""
        with self._lock:
            self._sweep()
            log = self._own.get(session)
            if log is None or log.ended or self._logs[session, log.id].is_expired:
                return None
            self._logs.move_to_end((session, log.id))
            return log

    def own(self, session: str, make: Callable[[], EventLog], *, ttl: float) -> EventLog:
        """The log of the session's own stream: the one that is kept, or else what `make` gives."""
        with self._lock:
            known = self.find_own(session)
            if known is not None:
                return known
            log = self._own.get(session)
            if log is not None:
                self._drop((session, log.id))
            log = self._own[session] = make()
            self.keep(session, log, ttl=ttl)
            return log

    def find(self, session: str, stream: str) -> EventLog | None:
        """The log of a stream of `session`, if it is kept."""
        found = self._logs.get((session, stream))
        return None if found is None else found.log

    def _sweep(self) -> None:
        """Drop what has expired among a few logs; others are looked at the next times."""
        for key, kept in list(islice(self._logs.items(), _SWEPT)):
            if kept.is_expired:
                self._drop(key)
            else:
                self._logs.move_to_end(key)

    def _grew(self, key: tuple[str, str], size: int) -> None:
        """Count what a log keeps more, and make room for it."""
        with self._lock:
            kept = self._logs.get(key)
            if kept is None:
                return
            kept.counted += size
            self._bytes += size
            if self._bytes <= _MAX_LOG_BYTES:
                return
            for other in [one for one, its in self._logs.items() if its.log.unread_seconds()]:
                if self._bytes <= _MAX_LOG_BYTES:
                    break
                self._drop(other)

    def _drop(self, key: tuple[str, str]) -> None:
        kept = self._logs.pop(key)
        self._bytes -= kept.counted
        if kept.log.polled:
            if self._own.get(key[0]) is kept.log:
                del self._own[key[0]]
            # Whoever writes to it stops then.
            kept.log.end()

    def end_own(self, session: str) -> None:
        """Drop the log of a session's own stream: the session has ended."""
        with self._lock:
            own = self._own.get(session)
            if own is not None:
                self._drop((session, own.id))
