"""The streams of calls in sessions, where a client that is cut off may come back to another
process: each is written where all processes can read it, by the one that runs the call.

A stream is a record (`log:{session}.{stream}`) that says who writes it, and a list of its events
(`log:{session}.{stream}:e`).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mcp_mount.calls.backplane import UNREAD_SECONDS, BackplaneUnavailable, Message, Record
from mcp_mount.calls.catalogue import Catalogue
from mcp_mount.calls.flows import Flow, Pause, done, step
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.protocol.kept_logs import KeptLogs
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.resumption import EventLog, EventPlace
from mcp_mount.protocol.settings import Settings
from mcp_mount.wire import sse
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.messages import MessageId, Request, encode_error, is_id

_RUNNING_SECONDS: Final = 3600.0
"""How long a stream is kept that has not ended, after its last event."""

_NOTED_SECONDS: Final = 60.0
"""How often its record is renewed."""

_BEGUN_SECONDS: Final = 0.5
_BEGUN_ANSWERS: Final = 10
"""How long it may take until a stream is written that has begun: so many seconds, and the time of
so many answers of the backplane, since what a process writes waits for what came before."""

_MAX_AWAITED: Final = 4
"""How many clients may wait for that in a process. Each may hold a thread, and anybody can ask for
streams that there never were."""

_NEWEST: Final = 64
"""How many events are looked at first: most of the time there is one that is new."""

_RETRY, _EVENT = "r", "e"

_ITEM: Final = re.compile(rf"([0-9]{{1,18}})([{_RETRY}{_EVENT}])")
"""How the event of a stream begins: its number, and its kind."""

_STREAM: Final = re.compile(r"[0-9a-f]{16}")
"""The form of the ids of streams."""


@dataclass(slots=True)
class _Written:
    """A stream of this process that others can read.

    Attributes:
        written: The number of the last event that was written.
        is_waiting: Whether it is about to be written.
        noted: When its record was noted.
        watchers: The processes that want to know of new events.
        elsewhere: What reads it for them.
    """

    key: str
    log: EventLog
    incoming: IncomingRequest
    written: int = 0
    is_waiting: bool = False
    noted: float = 0.0
    watchers: set[str] = field(default_factory=set)
    elsewhere: _ReaderElsewhere | None = None


@dataclass(slots=True, eq=False)
class _Followed:
    """A stream of another process, as far as it is known here.

    Attributes:
        node: The process that writes it.
    """

    session: str
    stream: str
    node: str
    log: EventLog
    message_id: str | int


@dataclass(frozen=True, slots=True)
class _Known:
    """What the record of a stream says.

    Attributes:
        node: The process that writes it.
        message_id: The id of the request that it answers.
        needs: The names of what its reader must be allowed to use.
        has_ended: Whether nothing comes any more.
    """

    node: str
    message_id: MessageId
    needs: list[str]
    has_ended: bool


class _ReaderElsewhere:
    """The reader of a stream that somebody reads in another process: it keeps up."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def notify(self) -> None:
        self._log.after(self._log.last, self)


class SharedLogs:
    """Writes the streams of this process, and follows those of others. Safe to use from any thread.

    Args:
        peers: The other processes.
        kept: The streams of this process.
        catalogue: Has the rules of what calls have called.
        settings: Say how long streams are kept.
    """

    def __init__(
        self, peers: Peers, kept: KeptLogs, catalogue: Catalogue, settings: Settings
    ) -> None:
        self._peers = peers
        self._kept = kept
        self._catalogue = catalogue
        self._settings = settings
        self._clear()
        after_fork(self._clear)
        peers.on("watch", self._watch)
        peers.on("unwatch", self._unwatch)
        peers.on("log", lambda message: self._look(message["key"]))
        peers.on("beat", self._look_at_all)
        peers.on("resync", self._watch_again)

    def _clear(self) -> None:
        self._lock = threading.RLock()
        self._written: dict[str, _Written] = {}
        self._followed: dict[str, list[_Followed]] = {}
        self._awaited: set[object] = set()

    def share(self, session: str, log: EventLog, incoming: IncomingRequest) -> None:
        """Write a stream of this process from now on.

        Args:
            session: The id of its session.
            log: The stream.
            incoming: The request of the call.
        """
        one = _Written(_key(session, log.id), log, incoming)
        with self._lock:
            self._written[one.key] = one
        log.on_news = partial(self._write_soon, one)
        self._write_soon(one)

    def find(self, session: str, place: EventPlace, request: Request) -> Flow[EventLog | None]:
        """A stream of another process, which is followed from now on; None if there is none, or if
        whoever asks may not read it.

        Args:
            session: The id of its session.
            place: Where its client is in it.
            request: The request of whoever asks.

        Raises:
            BackplaneUnavailable: If that cannot be told.
        """
        stream, backplane = place.stream, self._peers.backplane
        if not _STREAM.fullmatch(stream):
            # Other keys begin like that of a stream.
            return None
        key = _key(session, stream)
        known = _readable((yield from self._begun(key)))
        rules = self._catalogue.rules_of(known.needs) if known else None
        if known is None or rules is None or not request.permits(rules):
            return None
        log = EventLog(primed=False)
        log.id = stream
        one = _Followed(session, stream, known.node, log, known.message_id)
        _adopt(log, (yield from done(backplane.items(f"{key}:e"))))
        # The client may have had an event that was not written any more.
        log.last = max(log.last, place.number)
        if known.has_ended:
            log.end()
            return log
        with self._lock:
            self._followed.setdefault(key, []).append(one)
        yield from self._ask_to_watch(one)
        # What came between the look and the watch.
        yield from self._pull(key, one)
        return log

    def _ask_to_watch(self, one: _Followed) -> Flow[None]:
        yield from self._peers.send_to(
            one.node, "watch", session=one.session, stream=one.stream, by=self._peers.node
        )

    def _begun(self, key: str) -> Flow[Record]:
        """The record of a stream, which may have begun this very moment: it is written while its
        client reads."""
        asked = time.monotonic()
        record = yield from done(self._peers.backplane.record(key))
        until = asked + _BEGUN_SECONDS + _BEGUN_ANSWERS * (time.monotonic() - asked)
        if record:
            return record
        if len(self._awaited) >= _MAX_AWAITED:
            raise BackplaneUnavailable("many clients wait for streams that are not known")
        wait = object()
        self._awaited.add(wait)
        try:
            while not record and time.monotonic() < until:
                yield Pause(_BEGUN_SECONDS)
                record = yield from done(self._peers.backplane.record(key))
        finally:
            self._awaited.discard(wait)
        return record

    def _write_soon(self, one: _Written) -> None:
        with self._lock:
            is_waiting, one.is_waiting = one.is_waiting, True
        if not is_waiting:
            self._peers.later(step(partial(self._write, one)))

    def _write(self, one: _Written) -> Flow[None]:
        with self._lock:
            one.is_waiting = False
        # First: what comes before the end is among the events then.
        is_over = one.log.is_over
        events, kept = one.log.since(one.written)
        backplane, now = self._peers.backplane, time.monotonic()
        ttl = self._settings.resume_ttl if is_over else _RUNNING_SECONDS
        if not one.noted or now > one.noted + _NOTED_SECONDS:
            # Before its events: where this process is killed between the two, who comes back hears
            # that it is lost; events of a stream that nobody knows would help nobody.
            yield from done(
                backplane.note(one.key, self._fields(one), ttl=_RUNNING_SECONDS, new=True)
            )
            one.noted = now
        if events or is_over:
            items = [_item(number, event) for number, event in events]
            yield from done(backplane.append(f"{one.key}:e", items, ttl=ttl, most=kept))
            one.written = events[-1][0] if events else one.written
        if is_over:
            # After its events: who reads that it has ended looks for no others.
            fields = {**self._fields(one), "ended": "1"}
            yield from done(backplane.note(one.key, fields, ttl=ttl, new=True))
        for node in list(one.watchers):
            if not (yield from self._peers.send_to(node, "log", key=one.key)):
                self._drop_watcher(one, node)
        if is_over:
            # The log is kept for a while yet, and the request of the call need not be.
            one.log.on_news = None
            with self._lock:
                self._written.pop(one.key, None)

    def _fields(self, one: _Written) -> Record:
        """The record of a stream that has not ended."""
        return {
            "node": self._peers.node,
            "id": json.dumps(one.incoming.id),
            "needs": json.dumps(self._catalogue.names_of(one.incoming.met_rules)),
        }

    def _watch(self, message: Message) -> None:
        """Let another process hand out the events of a stream of this one."""
        session, stream = message["session"], message["stream"]
        log = self._kept.find(session, stream)
        one = self._written.get(_key(session, stream))
        if log is None or one is None:
            return
        with self._lock:
            one.watchers.add(message["by"])
        one.elsewhere = _ReaderElsewhere(log)
        log.attach(one.elsewhere)
        self._write_soon(one)

    def _unwatch(self, message: Message) -> None:
        """Nobody reads a stream in another process any more."""
        one = self._written.get(_key(message["session"], message["stream"]))
        if one is not None:
            self._drop_watcher(one, message["by"])

    def _drop_watcher(self, one: _Written, node: str) -> None:
        with self._lock:
            one.watchers.discard(node)
        if one.elsewhere is not None and not one.watchers:
            one.log.detach(one.elsewhere)

    def _watch_again(self, message: Message) -> None:
        """Ask for news again: a process that was away for long was taken for one that is lost."""
        for one in [one for followed in list(self._followed.values()) for one in followed]:
            self._peers.later(step(partial(self._ask_to_watch, one)))

    def _look(self, key: str) -> None:
        for one in list(self._followed.get(key, ())):
            self._peers.later(step(partial(self._pull, key, one)))

    def _look_at_all(self, message: Message) -> None:
        """Look for what was not told, for writers that are lost, and for readers that have left."""
        for key, followed in list(self._followed.items()):
            for one in list(followed):
                if one.log.unread_seconds() > UNREAD_SECONDS:
                    self._forget(key, one)
                    self._peers.later(step(partial(self._leave, one)))
                else:
                    self._peers.later(step(partial(self._pull, key, one)))
        watched = [one for one in list(self._written.values()) if one.watchers]
        if watched:
            self._peers.later(step(partial(self._look_at_watchers, watched)))

    def _look_at_watchers(self, watched: Sequence[_Written]) -> Flow[None]:
        """Drop those that are lost: a log without a reader is given up in time."""
        for node in {node for one in watched for node in list(one.watchers)}:
            if (yield from self._peers.is_lost(node)):
                for one in watched:
                    self._drop_watcher(one, node)

    def _leave(self, one: _Followed) -> Flow[None]:
        yield from self._peers.send_to(
            one.node, "unwatch", session=one.session, stream=one.stream, by=self._peers.node
        )

    def _pull(self, key: str, one: _Followed) -> Flow[None]:
        """Take in what is new in a stream of another process."""
        backplane = self._peers.backplane
        record = yield from done(backplane.record(key))
        items = yield from done(backplane.items(f"{key}:e", last=_NEWEST))
        first = _ITEM.match(items[0]) if items else None
        if first is not None and int(first[1]) > one.log.last + 1:
            items = yield from done(backplane.items(f"{key}:e"))
        _adopt(one.log, items)
        if record and "ended" not in record:
            if not (yield from self._peers.is_lost(one.node)):
                return
            error = ProtocolError(INTERNAL_ERROR, "The worker that ran this was lost")
            one.log.append(sse.event(encode_error(one.message_id, error)))
        one.log.end()
        self._forget(key, one)

    def _forget(self, key: str, one: _Followed) -> None:
        with self._lock:
            followed = self._followed.get(key, [])
            if one in followed:
                followed.remove(one)
            if not followed:
                self._followed.pop(key, None)


def _key(session: str, stream: str) -> str:
    return f"log:{session}.{stream}"


def _item(number: int, event: bytes) -> str:
    kind = _RETRY if isinstance(event, sse.RetryEvent) else _EVENT
    return f"{number}{kind}{event.decode()}"


def _readable(record: Record) -> _Known | None:
    """What the record of a stream says; None if there is none, or if this library has not written
    it."""
    try:
        needs, message_id = json.loads(record["needs"]), json.loads(record["id"])
        node = record["node"]
    except (KeyError, ValueError, RecursionError):
        return None
    is_sound = isinstance(needs, list) and all(isinstance(one, str) for one in needs)
    if not is_sound or not is_id(message_id):
        return None
    return _Known(node, message_id, needs, "ended" in record)


def _adopt(log: EventLog, items: Sequence[str]) -> None:
    """Take events into a stream that it has not had."""
    for item in items:
        match = _ITEM.match(item)
        if match is not None:
            kind = sse.RetryEvent if match[2] == _RETRY else bytes
            log.adopt(int(match[1]), kind(item[match.end() :].encode()))
