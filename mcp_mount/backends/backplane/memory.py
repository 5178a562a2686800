"""The backplane of one process: what is known of sessions, in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mcp_mount.calls.backplane import UNTOUCHED, Message, SessionState

_MAX_SESSIONS: Final = 100_000
"""How many sessions are remembered; the oldest go first."""

_MAX_SUBSCRIBED_BYTES: Final = 32 * 1024 * 1024
"""How much the URIs of all sessions may take; the sessions that subscribed first go first."""

_ENTRY_BYTES: Final = 100
"""How much a URI takes besides its characters."""


class MemoryBackplane:
    """Keeps what is known of sessions in this process. It answers everything at once.

    A server that runs in a single process needs no other. Nobody else can use it, so that messages
    have no one to go to.
    """

    shared = False

    def __init__(self) -> None:
        # A signal handler may publish a change while its thread is in here.
        self._lock = threading.RLock()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._log_levels: OrderedDict[str, str] = OrderedDict()
        self._subscribed: OrderedDict[str, set[str]] = OrderedDict()
        self._subscribed_bytes = 0

    def session(self, session: str) -> SessionState:
        """What is known of a session."""
        level = self._log_levels.get(session)
        if session in self._ended:
            return SessionState(True, level)
        return UNTOUCHED if level is None else SessionState(False, level)

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
        with self._lock:
            self._log_levels[session] = level
            self._log_levels.move_to_end(session)
            if len(self._log_levels) > _MAX_SESSIONS:
                self._log_levels.popitem(last=False)

    def subscribe(self, session: str, uri: str, *, on: bool, ttl: float) -> None:
        """Note that a session subscribes to a resource, or unsubscribes."""
        size = len(uri) + _ENTRY_BYTES
        with self._lock:
            uris = self._subscribed.pop(session, None) or set()
            if on != (uri in uris):
                self._subscribed_bytes += size if on else -size
            uris.add(uri) if on else uris.discard(uri)
            if uris:
                self._subscribed[session] = uris
            while len(self._subscribed) > _MAX_SESSIONS or (
                self._subscribed_bytes > _MAX_SUBSCRIBED_BYTES and len(self._subscribed) > 1
            ):
                self._forget_subscriptions(next(iter(self._subscribed)))

    def subscribed(self, session: str) -> frozenset[str]:
        """The URIs of the resources that a session subscribes to."""
        with self._lock:
            return frozenset(self._subscribed.get(session, ()))

    def publish(self, message: Message) -> None:
        """Do nothing: there is no other process."""

    def listen(self, hear: Callable[[Message], None]) -> Callable[[], None]:
        """Do nothing: no message comes."""
        return lambda: None

    def _forget_subscriptions(self, session: str) -> None:
        uris = self._subscribed.pop(session, ())
        self._subscribed_bytes -= sum(len(uri) + _ENTRY_BYTES for uri in uris)
