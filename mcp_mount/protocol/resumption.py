"""Streams of a session that outlive a connection (2025-11-25, "Resumability and Redelivery").

Events are numbered and kept, so that a client that was cut off, or that the server has sent away
to come back later, gets what it has missed.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from mcp_mount.wire import sse
from mcp_mount.wire.messages import Rule

_MAX_EVENTS: Final = 1000
"""How many events of a stream are kept for a client that comes back."""

_MAX_BYTES: Final = 1024 * 1024
"""How large they may be together; the newest one is kept whatever its size."""

MAX_UNREAD: Final = 64
"""How many events may wait for a slow client before the handler has to wait."""

MAX_UNREAD_BYTES: Final = 256 * 1024
"""How large they may be together before it has to."""


_POLLED_PREFIX: Final = "own-"
_VISITOR: Final = "~"

_QUIET_VISITS: Final = 5
"""After how many visits without news the time until the next one doubles."""

_LATE_SECONDS: Final = 5.0
"""How late a client may come by, besides."""


def is_polled(stream: str) -> bool:
    """Whether the id of a stream is that of a session's own one, which clients come by for; also if
    it is of the other kind (`polled.py`), where a server has got a backplane, or has none now."""
    return stream.startswith((_POLLED_PREFIX, "at-"))


def growing(retry: float, max_retry: float, quiet: int) -> float:
    """When a client should come by again, in seconds: later while there is nothing to tell.

    Args:
        retry: At first.
        max_retry: At the most.
        quiet: How often it has come for nothing.
    """
    slower: float = retry * 2.0 ** min(quiet // _QUIET_VISITS, 10)
    return min(max(retry, max_retry), slower)


class LogReader(Protocol):
    """Who hands the events of a stream to a client. A stream has one at a time."""

    def notify(self) -> None:
        """There are new events, or there is another reader now. Called from any thread."""


class EventLog:
    """The events of one stream. Safe to use from any thread.

    Its size is bounded in number and in bytes: the oldest events go first, and a client that comes
    back for one of them is told so.
    """

    def __init__(self, *, primed: bool, polled: bool = False) -> None:
        """Begin a stream without events.

        Args:
            primed: Whether the stream begins with an event without data, which gives the client an
                id to come back with.
            polled: Whether nobody reads it all the time: clients come by for what is new.
        """
        self.id = (_POLLED_PREFIX if polled else "") + secrets.token_hex(8)
        self.polled = polled
        self.ended = False
        self.abandoned = False
        self.last = 0
        self.rules: Sequence[Rule] = ()
        """What who comes back must fulfil, by the token of then: that of the calls it tells of."""
        self.bytes = 0
        """How much is kept."""
        self.on_end: Callable[[], None] = lambda: None
        """Called once, when the stream has ended."""
        self.on_growth: Callable[[int], None] = lambda size: None
        """Called with the number of bytes by which more is kept, or with a negative one."""
        self.on_news: Callable[[], None] | None = None
        """Called when there is a new event, or the stream is over; not for `adopt`."""
        self._events: deque[tuple[int, bytes]] = deque()
        self._read = 0
        self._unread_bytes = 0
        self._reader: LogReader | None = None
        self._on_room: Callable[[], None] = lambda: None
        self._left = time.monotonic()
        self._lock = threading.RLock()
        self._visitor = self._visitors = 0
        self._quiet = 0
        self._expected = 0.0
        if primed:
            self.append(sse.PRIMING)

    def append(self, event: bytes) -> None:
        """Add an encoded event, which gets its id here."""
        with self._lock:
            before = self.bytes
            self.last += 1
            numbered = self._numbered(event, self.last, self._visitor)
            self._events.append((self.last, numbered))
            self.bytes += len(numbered)
            self._unread_bytes += len(numbered)
            while len(self._events) > 1 and (
                len(self._events) > _MAX_EVENTS or self.bytes > _MAX_BYTES
            ):
                self._drop_oldest()
            growth = self.bytes - before
            self._notify()
        # Without the lock: whoever counts has one of its own, and may end this stream.
        self.on_growth(growth)
        if self.on_news is not None:
            self.on_news()

    def adopt(self, number: int, event: bytes) -> None:
        """Add an event of a stream that another process writes; one that is known is left.

        Args:
            number: Its number.
            event: The event, with its id.
        """
        with self._lock:
            if number <= self.last:
                return
            self.last = number
            self._events.append((number, event))
            self.bytes += len(event)
            self._unread_bytes += len(event)
            self._notify()

    def since(self, number: int) -> tuple[list[tuple[int, bytes]], int]:
        """The events after that with `number`, and how many are kept.

        Args:
            number: Of the last one that is known.
        """
        with self._lock:
            return [one for one in self._events if one[0] > number], len(self._events)

    @property
    def is_over(self) -> bool:
        """Whether a client that has all that is kept will get no more."""
        return self.ended or self.abandoned

    def abandon(self) -> None:
        """Let readers go: their client has cancelled the call, and gets no answer."""
        with self._lock:
            self.abandoned = True
            self._notify()
        if self.on_news is not None:
            self.on_news()

    def end(self) -> None:
        """Nothing comes any more."""
        with self._lock:
            was_ended, self.ended = self.ended, True
            self._left = time.monotonic()
            self._notify()
        if not was_ended:
            self.on_end()
            if self.on_news is not None:
                self.on_news()

    def attach(self, reader: LogReader) -> None:
        """Let `reader` hand out the events from now on, in place of any other."""
        with self._lock:
            previous, self._reader = self._reader, reader
            if previous is not None:
                previous.notify()

    def detach(self, reader: LogReader) -> None:
        with self._lock:
            if self._reader is reader:
                self._reader = None
                self._left = time.monotonic()
            self._on_room()

    def after(self, number: int, reader: LogReader) -> tuple[list[tuple[int, bytes]], bool]:
        """The events after that with `number`, and whether `reader` will get no more."""
        with self._lock:
            if self._reader is not reader:
                return [], True
            unread = [one for one in self._events if one[0] > number]
            self._read = number
            self._unread_bytes = sum(len(event) for _, event in unread)
            self._on_room()
            return unread, self.is_over

    def poll(
        self, number: int | None, visitor: int | None, retry: float, max_retry: float
    ) -> bytes:
        """The events that a client does not have yet, and one that tells it to come back.

        A client may come by in several loops at a time. A message goes to one of them: to that
        which began last, as long as it comes by.

        Args:
            number: That of the last event that the client says it has. None if it says nothing:
                then it gets what no visit has fetched yet.
            visitor: The number of the loop, by the last event that it has had; None for a new one.
            retry: When to come back, in seconds. It grows while there is nothing to tell.
            max_retry: How far it grows.
        """
        with self._lock:
            now = time.monotonic()
            is_late = now > self._expected
            if visitor is None:
                self._visitors += 1
                self._visitor = self._visitors
                self._quiet = -1
            elif visitor != self._visitor and is_late:
                self._visitor = visitor
                self._visitors = max(self._visitors, visitor)
            elif visitor != self._visitor:
                # Not the newest loop: as if nothing had happened.
                self._left = now
                return self._numbered(sse.retry_event(max_retry), number or self._read, visitor)
            self._quiet = self._quiet + 1 if self.last == self._read else 0
            retry = growing(retry, max_retry, self._quiet)
            self._expected = now + 2 * retry + _LATE_SECONDS
        self.append(sse.retry_event(retry))
        with self._lock:
            before = self.bytes
            if number is None:
                number = self._read
            # What a client has is not kept for it: one that comes by for ever costs no more.
            while self._events and self._events[0][0] <= number:
                self._drop_oldest()
            self._read = self.last
            self._left = time.monotonic()
            fetched = b"".join(event for _, event in self._events)
            growth = self.bytes - before
        self.on_growth(growth)
        return fetched

    def _numbered(self, event: bytes, number: int, visitor: int) -> bytes:
        """An event with its id, which tells the loop of a polled stream that it is for as well."""
        stream = f"{self.id}{_VISITOR}{visitor}" if self.polled else self.id
        return type(event)(b"id: %b.%d\n%b" % (stream.encode(), number, event))

    def has(self, number: int) -> bool:
        """Whether all events after that with `number` are still kept."""
        first = self._events[0][0] if self._events else self.last + 1
        return first - 1 <= number <= self.last

    def has_room(self, on_room: Callable[[], None]) -> bool:
        """Whether the reader keeps up; if not, `on_room` is called when it moves on."""
        with self._lock:
            self._on_room = on_room
            return self._reader is None or (
                self.last - self._read <= MAX_UNREAD and self._unread_bytes <= MAX_UNREAD_BYTES
            )

    def unread_seconds(self) -> float:
        """For how long nobody has been reading, in seconds."""
        return 0.0 if self._reader is not None else time.monotonic() - self._left

    def _drop_oldest(self) -> None:
        _, event = self._events.popleft()
        self.bytes -= len(event)

    def _notify(self) -> None:
        if self._reader is not None:
            self._reader.notify()


@dataclass(frozen=True, slots=True)
class Resumption:
    """A client that reads a stream, or comes back to it.

    Attributes:
        log: The events of the stream.
        after: The number of the last event that it has; None for a client that comes for the first
            time.
        newest: The number of the newest event when it came: what sent it away before must not send
            it away again.
        visitor: Which of the polling loops of its client it is; None for a new one.
    """

    log: EventLog
    after: int | None = 0
    newest: int = 0
    visitor: int | None = None

    def shown(self, number: int, event: bytes) -> bytes:
        """The event for this reader: an old goodbye is none."""
        return bytes(event) if number <= self.newest else event


class EventPlace(NamedTuple):
    """A place in a stream.

    Attributes:
        stream: The id of the stream.
        number: The number of the event.
        visitor: The polling loop of the client, for a polled stream.
    """

    stream: str
    number: int
    visitor: int | None


def parse_event_id(event_id: str) -> EventPlace | None:
    """The place that an event id tells; None for one that is not ours."""
    whole, dot, number = event_id.rpartition(".")
    stream, tilde, visitor = whole.partition(_VISITOR)
    if not dot or not _is_number(number) or (tilde and not _is_number(visitor)):
        return None
    return EventPlace(stream, int(number), int(visitor) if tilde else None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
