"""The backplane of one process: what is known of sessions, in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from mcp_mount.calls.backplane import UNTOUCHED, SessionState
from mcp_mount.wire.forks import after_fork

_MAX_SESSIONS: Final = 100_000
"""How many sessions are remembered; the oldest go first."""

_MAX_SUBSCRIBED_BYTES: Final = 32 * 1024 * 1024
"""How much the URIs of all sessions may take; the sessions that subscribed first go first."""

_ENTRY_BYTES: Final = 100
"""How much a URI takes besides its characters."""


class MemoryBackplane:
    """Keeps what is known of sessions in this process. It answers everything at once.

    A server that runs in a single process needs no other. Nobody else can use it, and it has no
    messages.
    """

    shared = False

    def __init__(self) -> None:
        self._unlock()
        after_fork(self._unlock)
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._log_levels: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._subscribed: OrderedDict[str, _Subscribed] = OrderedDict()
        self._subscribed_bytes = 0

    def _unlock(self) -> None:
        # A signal handler may publish a change while its thread is in here.
        self._lock = threading.RLock()

    def session(self, session: str) -> SessionState:
        """What is known of a session."""
        kept, ended = self._log_levels.get(session), self._ended.get(session)
        if kept is None and ended is None:
            return UNTOUCHED
        now = time.monotonic()
        level = kept[0] if kept is not None and kept[1] > now else None
        return SessionState(ended is not None and ended > now, level)

    def end_session(self, session: str, *, ttl: float) -> None:
        """Note that a client has ended its session."""
        now = time.monotonic()
        with self._lock:
            self._log_levels.pop(session, None)
            self._forget_subscriptions(session)
            self._ended[session] = now + ttl
            while self._ended:
                oldest = next(iter(self._ended))
                if self._ended[oldest] > now and len(self._ended) <= _MAX_SESSIONS:
                    break
                del self._ended[oldest]

    def set_log_level(self, session: str, level: str, *, ttl: float) -> None:
        """Note the lowest level of log messages that the client of a session wants."""
        now = time.monotonic()
        with self._lock:
            if self._has_ended(session, now):
                return
            self._log_levels[session] = level, now + ttl
            self._log_levels.move_to_end(session)
            while self._log_levels:
                oldest = next(iter(self._log_levels))
                if self._log_levels[oldest][1] > now and len(self._log_levels) <= _MAX_SESSIONS:
                    break
                del self._log_levels[oldest]

    def subscribe(self, session: str, uri: str, *, on: bool, ttl: float) -> None:
        """Note that a session subscribes to a resource, or unsubscribes."""
        now, size = time.monotonic(), len(uri) + _ENTRY_BYTES
        with self._lock:
            if self._has_ended(session, now):
                return
            known = self._subscribed.get(session)
            if known is not None and known.expires <= now:
                self._forget_subscriptions(session)
            uris = self._subscribed.pop(session, _Subscribed()).uris
            if on != (uri in uris):
                self._subscribed_bytes += size if on else -size
            uris.add(uri) if on else uris.discard(uri)
            if uris:
                self._subscribed[session] = _Subscribed(uris, now + ttl)
            while self._subscribed:
                oldest = next(iter(self._subscribed))
                is_over = len(self._subscribed) > _MAX_SESSIONS or (
                    self._subscribed_bytes > _MAX_SUBSCRIBED_BYTES and len(self._subscribed) > 1
                )
                if not is_over and self._subscribed[oldest].expires > now:
                    break
                self._forget_subscriptions(oldest)

    def subscribed(self, session: str) -> frozenset[str]:
        """The URIs of the resources that a session subscribes to."""
        with self._lock:
            known = self._subscribed.get(session)
            if known is None or known.expires <= time.monotonic():
                return frozenset()
            return frozenset(known.uris)

    def _forget_subscriptions(self, session: str) -> None:
        uris = self._subscribed.pop(session, _Subscribed()).uris
        self._subscribed_bytes -= sum(len(uri) + _ENTRY_BYTES for uri in uris)

    def _has_ended(self, session: str, now: float) -> bool:
        return self._ended.get(session, now) > now


@dataclass(slots=True)
class _Subscribed:
    """The URIs that a session subscribes to, until they may be forgotten."""

    uris: set[str] = field(default_factory=set)
    expires: float = 0.0
