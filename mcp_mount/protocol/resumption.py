"""Streams of a session that outlive a connection (2025-11-25, "Resumability and Redelivery").

Events are numbered and kept, so that a client that was cut off, or that the server has sent away
to come back later, gets what it has missed.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mcp_mount.protocol import sse

_MOST_EVENTS: Final = 1000
"""How many events of a stream are kept for a client that comes back."""

_MOST_UNREAD: Final = 64
"""How far a reader may lag before it is waited for."""


class Reader(Protocol):
    """Who hands the events of a stream to a client. A stream has one at a time."""

    def notify(self) -> None:
        """There are new events, or there is another reader now. Called from any thread."""


class EventLog:
    """The events of one stream. Safe to use from any thread.

    primed: whether the stream begins with an event without data, which gives the client an id to
    come back with. polled: whether nobody reads it all the time: clients come by for what is new.
    """

    def __init__(self, *, primed: bool, polled: bool = False) -> None:
        self.id = secrets.token_hex(8)
        self.polled = polled
        self.ended = False
        self._events: deque[tuple[int, bytes]] = deque(maxlen=_MOST_EVENTS)
        self.last = 0
        self._read = 0
        self._reader: Reader | None = None
        self._on_room: Callable[[], None] = lambda: None
        self._left = time.monotonic()
        self._lock = threading.RLock()
        if primed:
            self.append(sse.PRIMING)

    def append(self, event: bytes) -> None:
        """Add an encoded event, which gets its id here."""
        with self._lock:
            self.last += 1
            kind = type(event)
            numbered = kind(b"id: %b.%d\n%b" % (self.id.encode(), self.last, event))
            self._events.append((self.last, numbered))
            self._notify()

    def end(self) -> None:
        """Nothing comes any more."""
        with self._lock:
            self.ended = True
            self._left = time.monotonic()
            self._notify()

    def attach(self, reader: Reader) -> None:
        """Let `reader` hand out the events from now on, in place of any other."""
        with self._lock:
            previous, self._reader = self._reader, reader
            if previous is not None:
                previous.notify()

    def detach(self, reader: Reader) -> None:
        with self._lock:
            if self._reader is reader:
                self._reader = None
                self._left = time.monotonic()
            self._on_room()

    def after(self, number: int, reader: Reader) -> tuple[list[tuple[int, bytes]], bool]:
        """The events after that with `number`, and whether `reader` will get no more."""
        with self._lock:
            self._read = number
            self._on_room()
            if self._reader is not reader:
                return [], True
            return [one for one in self._events if one[0] > number], self.ended

    def poll(self, number: int, retry: float) -> bytes:
        """The events after that with `number`, and one that tells to come back in `retry` s."""
        with self._lock:
            self.append(sse.goodbye(retry))
            self._left = time.monotonic()
            return b"".join(event for own, event in self._events if own > number)

    def has(self, number: int) -> bool:
        """Whether all events after that with `number` are still kept."""
        first = self._events[0][0] if self._events else 1
        return first - 1 <= number <= self.last

    def has_room(self, on_room: Callable[[], None]) -> bool:
        """Whether the reader keeps up; if not, `on_room` is called when it moves on."""
        with self._lock:
            self._on_room = on_room
            return self._reader is None or self.last - self._read <= _MOST_UNREAD

    def unread_seconds(self) -> float:
        """For how long nobody has been reading, in seconds."""
        return 0.0 if self._reader is not None else time.monotonic() - self._left

    def _notify(self) -> None:
        if self._reader is not None:
            self._reader.notify()


@dataclass(frozen=True, slots=True)
class Resumption:
    """A client that reads a stream, or comes back to it.

    after: the number of the last event that it has. newest: that of the newest event when it came:
    what sent it away before is no reason to go again.
    """

    log: EventLog
    after: int = 0
    newest: int = 0

    def shown(self, number: int, event: bytes) -> bytes:
        """The event for this reader: an old goodbye is none."""
        return bytes(event) if number <= self.newest else event


def parse_event_id(event_id: str) -> tuple[str, int] | None:
    """The stream and the number in an event id; None for one that is not ours."""
    stream, dot, number = event_id.rpartition(".")
    if not dot or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        return None
    return stream, int(number)
