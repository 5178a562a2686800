"""The backplane of a single process: dictionaries with a bound and a lock."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final

from mcp_mount.protocol.changes import Change, Hear
from mcp_mount.protocol.resumption import EventLog

_MOST_SESSIONS: Final = 100_000
"""How many sessions are remembered; the oldest go first."""

_MOST_LOGS: Final = 10_000
_SWEPT: Final = 4
"""How many logs are looked at, whether they have expired, for each one that is added."""


class MemoryBackplane:
    """Keeps what one request must learn of another. Safe to use from any thread."""

    def __init__(self) -> None:
        # A signal handler may tell a change while its thread is in here.
        self._lock = threading.RLock()
        self._listeners: dict[object, Hear] = {}
        self._waiting = 0
        self._subscribed: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._questions: dict[tuple[str, str], Future[Any]] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._log_levels: OrderedDict[str, str] = OrderedDict()
        self._logs: OrderedDict[tuple[str, str], tuple[EventLog, float]] = OrderedDict()

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
            self._subscribed.pop(session, None)
            self._ended[session] = now + ttl
            while self._ended:
                oldest = next(iter(self._ended))
                if self._ended[oldest] > now and len(self._ended) <= _MOST_SESSIONS:
                    break
                del self._ended[oldest]

    def has_ended(self, session: str) -> bool:
        return session in self._ended

    def listen(self, hear: Hear, *, waits: bool = True) -> Callable[[], None]:
        """Call `hear` with every change from now on, on whatever thread tells it.

        waits: whether a request waits for changes, and is counted as a listener. Returns the
        function that ends it.
        """
        key = object()
        with self._lock:
            self._listeners[key] = hear
            self._waiting += waits
        return lambda: self._unlisten(key, waits)

    def listeners(self) -> int:
        """How many requests wait for changes now."""
        return self._waiting

    def publish(self, change: Change) -> None:
        """Tell a change to all who listen."""
        with self._lock:
            listeners = list(self._listeners.values())
        for hear in listeners:
            hear(change)

    def subscribe(self, session: str, uri: str, *, on: bool) -> None:
        """Remember that a session wants to hear of the resource at `uri`, or no more."""
        with self._lock:
            uris = self._subscribed.pop(session, frozenset())
            uris = uris | {uri} if on else uris - {uri}
            if uris:
                self._subscribed[session] = uris
            if len(self._subscribed) > _MOST_SESSIONS:
                self._subscribed.popitem(last=False)

    def subscribed(self, session: str) -> frozenset[str]:
        """The resources that a session wants to hear of."""
        return self._subscribed.get(session, frozenset())

    def _unlisten(self, key: object, waits: bool) -> None:
        with self._lock:
            if self._listeners.pop(key, None) is not None:
                self._waiting -= waits

    def keep_log(self, session: str, log: EventLog, *, ttl: float) -> None:
        """Keep the log of a stream, and for `ttl` seconds after its end or its last reader's."""
        with self._lock:
            self._logs[session, log.id] = log, ttl
            for key, (one, its_ttl) in list(islice(self._logs.items(), _SWEPT)):
                if (one.ended or one.polled) and one.unread_seconds() > its_ttl:
                    self._drop_log(key)
                elif one is not log:
                    self._logs.move_to_end(key)
            if len(self._logs) > _MOST_LOGS:
                self._drop_log(next(iter(self._logs)))

    def _drop_log(self, key: tuple[str, str]) -> None:
        log, _ = self._logs.pop(key)
        if log.polled:
            # Whoever writes to it stops then.
            log.end()

    def find_log(self, session: str, stream: str) -> EventLog | None:
        """The log of a stream of `session`, if it is kept."""
        found = self._logs.get((session, stream))
        return None if found is None else found[0]

    def set_log_level(self, session: str, level: str) -> None:
        with self._lock:
            self._log_levels[session] = level
            self._log_levels.move_to_end(session)
            if len(self._log_levels) > _MOST_SESSIONS:
                self._log_levels.popitem(last=False)

    def log_level(self, session: str) -> str | None:
        """The least level that the client of `session` asked for, if it did."""
        return self._log_levels.get(session)
