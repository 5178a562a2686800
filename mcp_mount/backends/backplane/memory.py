"""The backplane of a single process: dictionaries with a bound and a lock."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from mcp_mount.protocol.changes import CLOSING, PROBE, Change, OnChange, bytes_of
from mcp_mount.protocol.resumption import EventLog

_MAX_SESSIONS: Final = 100_000
"""How many sessions are remembered; the oldest go first."""

_MAX_LOGS: Final = 10_000
"""How many logs of streams are kept; the oldest go first."""

_MAX_LOG_BYTES: Final = 64 * 1024 * 1024
"""How large all logs together may be; the oldest that nobody reads go first."""

_MAX_SUBSCRIBED_BYTES: Final = 32 * 1024 * 1024
"""How much the URIs of all sessions may take; the sessions that subscribed first go first."""

_SWEPT: Final = 4
"""How many logs are looked at, whether they have expired, for each one that is asked for."""


@dataclass(slots=True)
class _Kept:
    """A log that is kept. ttl: for how many seconds after its last reader. counted: its bytes."""

    log: EventLog
    ttl: float
    counted: int = 0

    @property
    def is_expired(self) -> bool:
        log = self.log
        return (log.ended or log.polled) and log.unread_seconds() > self.ttl


class MemoryBackplane:
    """Keeps what one request must learn of another. Safe to use from any thread."""

    def __init__(self) -> None:
        # A signal handler may tell a change while its thread is in here.
        self._lock = threading.RLock()
        self._listeners: dict[object, OnChange] = {}
        self._waiting: dict[object, OnChange] = {}
        self._subscribed: OrderedDict[str, set[str]] = OrderedDict()
        self._subscribed_bytes = 0
        self._questions: dict[tuple[str, str], Future[Any]] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._log_levels: OrderedDict[str, str] = OrderedDict()
        self._logs: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._log_bytes = 0
        self._own_logs: dict[str, EventLog] = {}

    def expect(self, session: str, question: str) -> Future[Any]:
        """Return the future answer to a question just put to the client of `session`."""
        answer: Future[Any] = Future()
        with self._lock:
            self._questions[session, question] = answer
        return answer

    def forget(self, session: str, question: str) -> None:
        """Stop waiting for an answer."""
        with self._lock:
            self._questions.pop((session, question), None)

    def deliver(self, session: str, question: str, answer: Any) -> bool:
        """Hand in a client's answer; False if nobody waits for it."""
        with self._lock:
            waiting = self._questions.pop((session, question), None)
        if waiting is None or not waiting.set_running_or_notify_cancel():
            return False
        waiting.set_result(answer)
        return True

    def end(self, session: str, *, ttl: float) -> None:
        """Remember for `ttl` seconds that a session was ended by its client."""
        now = time.monotonic()
        with self._lock:
            self._log_levels.pop(session, None)
            self._forget_subscriptions(session)
            own = self._own_logs.get(session)
            if own is not None:
                self._drop_log((session, own.id))
            self._ended[session] = now + ttl
            while self._ended:
                oldest = next(iter(self._ended))
                if self._ended[oldest] > now and len(self._ended) <= _MAX_SESSIONS:
                    break
                del self._ended[oldest]

    def has_ended(self, session: str) -> bool:
        return session in self._ended

    def listen(self, hear: OnChange, *, waits: bool = True) -> Callable[[], None]:
        """Call `hear` with every change from now on, on whatever thread tells it.

        waits: whether a request waits for changes, and is counted as a listener. Returns the
        function that ends it.
        """
        key = object()
        with self._lock:
            self._listeners[key] = hear
            if waits:
                self._waiting[key] = hear
        return lambda: self._unlisten(key)

    def listeners(self) -> int:
        """How many requests wait for changes now."""
        return len(self._waiting)

    def dismiss(self) -> bool:
        """End the wait of the request that has waited longest; False if none waits."""
        with self._lock:
            key = next(iter(self._waiting), None)
            if key is None:
                return False
            hear = self._waiting.pop(key)
            self._listeners.pop(key, None)
        hear(CLOSING)
        return True

    def probe(self) -> None:
        """Have all requests that wait write to their clients."""
        with self._lock:
            waiting = list(self._waiting.values())
        for hear in waiting:
            hear(PROBE)

    def publish(self, change: Change) -> None:
        """Tell a change to all who listen."""
        with self._lock:
            listeners = list(self._listeners.values())
        for hear in listeners:
            hear(change)

    def subscribe(self, session: str, uri: str, *, on: bool) -> None:
        """Remember that a session wants to hear of the resource at `uri`, or no more."""
        with self._lock:
            uris = self._subscribed.pop(session, None) or set()
            if on != (uri in uris):
                self._subscribed_bytes += bytes_of([uri]) if on else -bytes_of([uri])
            uris.add(uri) if on else uris.discard(uri)
            if uris:
                self._subscribed[session] = uris
            while len(self._subscribed) > _MAX_SESSIONS or (
                self._subscribed_bytes > _MAX_SUBSCRIBED_BYTES and len(self._subscribed) > 1
            ):
                self._forget_subscriptions(next(iter(self._subscribed)))

    def subscribed(self, session: str) -> frozenset[str]:
        """The resources that a session wants to hear of."""
        with self._lock:
            return frozenset(self._subscribed.get(session, ()))

    def _forget_subscriptions(self, session: str) -> None:
        self._subscribed_bytes -= bytes_of(self._subscribed.pop(session, ()))

    def _unlisten(self, key: object) -> None:
        with self._lock:
            self._listeners.pop(key, None)
            self._waiting.pop(key, None)

    def keep_log(self, session: str, log: EventLog, *, ttl: float) -> None:
        """Keep the log of a stream, and for `ttl` seconds after its end or its last reader's."""
        key = session, log.id
        with self._lock:
            self._logs[key] = _Kept(log, ttl)
            log.on_growth = partial(self._grew, key)
            self._grew(key, log.bytes)
            self._sweep_logs()
            if len(self._logs) > _MAX_LOGS:
                self._drop_log(next(iter(self._logs)))

    def own_log(self, session: str, make: Callable[[], EventLog], *, ttl: float) -> EventLog:
        """The log of the session's own stream: the one that is kept, or else what `make` gives."""
        with self._lock:
            self._sweep_logs()
            log = self._own_logs.get(session)
            if log is not None and not log.ended and not self._logs[session, log.id].is_expired:
                self._logs.move_to_end((session, log.id))
                return log
            if log is not None:
                self._drop_log((session, log.id))
            log = self._own_logs[session] = make()
            self.keep_log(session, log, ttl=ttl)
            return log

    def find_log(self, session: str, stream: str) -> EventLog | None:
        """The log of a stream of `session`, if it is kept."""
        found = self._logs.get((session, stream))
        return None if found is None else found.log

    def _sweep_logs(self) -> None:
        """Drop what has expired among a few logs; others are looked at the next times."""
        for key, kept in list(islice(self._logs.items(), _SWEPT)):
            if kept.is_expired:
                self._drop_log(key)
            else:
                self._logs.move_to_end(key)

    def _grew(self, key: tuple[str, str], size: int) -> None:
        """Count what a log keeps more, and make room for it."""
        with self._lock:
            kept = self._logs.get(key)
            if kept is None:
                return
            kept.counted += size
            self._log_bytes += size
            if self._log_bytes <= _MAX_LOG_BYTES:
                return
            for other in [one for one, its in self._logs.items() if its.log.unread_seconds()]:
                if self._log_bytes <= _MAX_LOG_BYTES:
                    break
                self._drop_log(other)

    def _drop_log(self, key: tuple[str, str]) -> None:
        kept = self._logs.pop(key)
        self._log_bytes -= kept.counted
        if kept.log.polled:
            if self._own_logs.get(key[0]) is kept.log:
                del self._own_logs[key[0]]
            # Whoever writes to it stops then.
            kept.log.end()

    def set_log_level(self, session: str, level: str) -> None:
        with self._lock:
            self._log_levels[session] = level
            self._log_levels.move_to_end(session)
            if len(self._log_levels) > _MAX_SESSIONS:
                self._log_levels.popitem(last=False)

    def log_level(self, session: str) -> str | None:
        """The least level that the client of `session` asked for, if it did."""
        return self._log_levels.get(session)
