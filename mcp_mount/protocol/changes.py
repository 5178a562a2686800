"""Changes that clients may hear of, and the subscriptions to them.

2026-07-28 has `subscriptions/listen` (basic/patterns/subscriptions); the session revisions have
the GET stream of a session, and `resources/subscribe`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol
from weakref import ref

from mcp_mount.calls.backplane import Asked, Message
from mcp_mount.calls.flows import Flow, done, step, then
from mcp_mount.calls.tasks import TERMINAL, Task
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.messages import MessageId, encode_notification
from mcp_mount.wire.uris import normal_uri

SUBSCRIPTION_META: Final = "io.modelcontextprotocol/subscriptionId"

_METHODS: Final = {
    "tools": "notifications/tools/list_changed",
    "prompts": "notifications/prompts/list_changed",
    "resources": "notifications/resources/list_changed",
    "resource": "notifications/resources/updated",
}
_FILTERS: Final = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}
MAX_SUBJECTS: Final = 1000
"""How many resources, and how many tasks, one client may listen to."""

MAX_URI: Final = 8192
"""The longest URI, in characters, that a client may listen to."""

MAX_URI_BYTES: Final = 512 * 1024
"""How much the URIs that one client listens to may take, as `bytes_of` counts."""

MAX_STREAMS: Final = 8
"""How many streams of one session may be open; the oldest ends for one more."""

_ENTRY_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Change:
    """A change that clients may hear of.

    Attributes:
        kind: "tools", "prompts" or "resources" for a list, "resource" or "task".
        subject: The URI of the resource, in the form of `normal_uri`, or the id of the task.
    """

    kind: str
    subject: str | None = None


def change_in(message: Message) -> Change | None:
    """The change that another process tells of; None for one that this version does not know.

    Args:
        message: Of the kind "change".
    """
    kind, subject = message.get("what"), message.get("which")
    if kind not in ("task", *_METHODS) or not isinstance(subject, str | None):
        return None
    return Change(kind, subject)


CLOSING: Final = Change("closing")
"""Tells listeners that their wait is over: the server goes down, or needs their place."""

RESYNC: Final = Change("resync")
"""Tells listeners that changes may have been lost: anything may have changed."""

LOOK: Final = Change("look")
"""Tells listeners, every few seconds, to look at what changes without a word: a process that is
lost tells nothing."""

PROBE: Final = Change("probe")
"""Has listeners write to their clients: by that a web server notices who has left."""

OnChange = Callable[[Change], None]


class Subscription(Protocol):
    """What a listener is told, in the words of its revision."""

    @property
    def opening(self) -> bytes | None:
        """The message that comes before all others."""

    def begin(self, hear: OnChange) -> None:
        """The client listens from now on; `hear` takes what this wants the listener to know."""

    def end(self) -> None:
        """The client listens no more."""

    def wants(self, change: Change) -> bool:
        """Whether the client has asked for changes of this kind and subject."""

    def message(self, change: Change) -> Asked[bytes | None]:
        """The notification of a change; None if the client does not want it."""

    def everything(self) -> list[Change]:
        """All that the client wants to hear of."""


class ListenSubscription:
    """The subscription of a `subscriptions/listen` request (2026-07-28,
    basic/patterns/subscriptions).

    Args:
        message_id: The id of the request.
        wanted: Its filter.
        tasks: The ids of the tasks that it names, as far as they are the caller's.
        task: Returns the state of a task by its id.
        serves: Returns whether there is a resource for the caller at a URI; others are left out of
            what is acknowledged ("Acknowledgment").

    Raises:
        ProtocolError: Invalid params, if the filter is malformed or too large.
    """

    def __init__(
        self,
        message_id: MessageId,
        wanted: Mapping[str, Any],
        tasks: Iterable[str],
        task: Callable[[str], Asked[Task | None]],
        serves: Callable[[str], bool],
    ) -> None:
        self.meta = {SUBSCRIPTION_META: message_id}
        self._task = task
        self._kinds = {kind for name, kind in _FILTERS.items() if _flag(wanted, name)}
        uris = _strings(wanted, "resourceSubscriptions")
        check_uris(uris)
        # What the client hears of is written as it wrote it.
        self._uris = {normal_uri(uri): uri for uri in uris if serves(uri)}
        self._tasks = dict.fromkeys(tasks)
        self._unfinished = set(self._tasks)
        agreed: dict[str, Any] = {
            name: True for name, kind in _FILTERS.items() if kind in self._kinds
        }
        if self._uris:
            agreed["resourceSubscriptions"] = list(self._uris.values())
        if self._tasks:
            agreed["taskIds"] = list(self._tasks)
        self.opening = encode_notification(
            "notifications/subscriptions/acknowledged",
            {"_meta": self.meta, "notifications": agreed},
        )

    def begin(self, hear: OnChange) -> None:
        """Nothing: each subscription of a client is one of its own."""

    def end(self) -> None:
        """Nothing."""

    def wants(self, change: Change) -> bool:
        if change == LOOK:
            return bool(self._unfinished)
        if change.kind == "task":
            return change.subject in self._tasks
        if change.kind == "resource":
            return change.subject in self._uris
        return change.kind in self._kinds

    def message(self, change: Change) -> Asked[bytes | None]:
        if change == LOOK:
            return step(self._look)
        if change.kind == "task":
            return self._task_message(change.subject)
        if change.kind == "resource":
            uri = None if change.subject is None else self._uris.get(change.subject)
            if uri is None:
                return None
            params = {"_meta": self.meta, "uri": uri}
        elif change.kind in self._kinds:
            params = {"_meta": self.meta}
        else:
            return None
        return encode_notification(_METHODS[change.kind], params)

    def everything(self) -> list[Change]:
        return [
            *map(Change, self._kinds),
            *(Change("resource", uri) for uri in self._uris),
            *(Change("task", task) for task in self._tasks),
        ]

    def _task_message(self, task_id: str | None) -> Asked[bytes | None]:
        if task_id is None or task_id not in self._tasks:
            return None
        return then(self._task(task_id), self._told)

    def _look(self) -> Flow[None]:
        """Look at the tasks that have not ended, by which those are found whose worker is lost:
        subscribers hear of them as of any change."""
        for task_id in list(self._unfinished):
            if (yield from done(self._task(task_id))) is None:
                self._unfinished.discard(task_id)

    def _told(self, task: Task | None) -> bytes | None:
        """The notification of the state of a task."""
        if task is None:
            return None
        if task.status in TERMINAL:
            self._unfinished.discard(task.id)
        return b'{"jsonrpc":"2.0","method":"notifications/tasks","params":{%b,"_meta":%b}}' % (
            task.detail(),
            encode(self.meta),
        )


class OpenStreams:
    """The streams that the clients of sessions have in this process, the newest of each last.

    A message goes to one of them (2025-11-25, "Multiple Connections"): to the newest. The others
    stay open, unheard, and take over when it ends: a client that is told that a stream has ended
    opens another one, and with two such loops in one client that would never end.
    """

    def __init__(self) -> None:
        self._clear()
        after_fork(self._clear)

    def _clear(self) -> None:
        self._read: dict[str, dict[SessionStream, OnChange]] = {}
        self._known: dict[str, set[ref[SessionStream]]] = {}
        self._lock = threading.RLock()

    def add(self, stream: SessionStream) -> None:
        """Note a stream, which learns of its session's subscriptions from now on."""
        session = stream.session
        # One that nobody ever reads ends with its call.
        reference = ref(stream, partial(self._forget, session))
        with self._lock:
            self._known.setdefault(session, set()).add(reference)

    @contextmanager
    def looking(self, session: str) -> Iterator[Callable[[frozenset[str]], None]]:
        """Look what a session subscribes to, within the block: what it does meanwhile counts more
        than what is found.

        Args:
            session: Its id.

        Returns:
            A function that gives its streams what was found.
        """
        with self._lock:
            streams = self._streams(session)
            for stream in streams:
                stream.looks += 1

        def load(uris: frozenset[str]) -> None:
            with self._lock:
                for stream in streams:
                    subscribed = {uri for uri, on in stream.changed.items() if on}
                    stream.uris = uris.difference(stream.changed) | subscribed

        try:
            yield load
        finally:
            with self._lock:
                for stream in streams:
                    stream.looks -= 1
                    if not stream.looks:
                        stream.changed.clear()

    def begin(self, stream: SessionStream, hear: OnChange) -> None:
        """The client reads a stream from now on; the oldest one ends if there are too many."""
        with self._lock:
            streams = self._read.setdefault(stream.session, {})
            streams[stream] = hear
            oldest = next(iter(streams.values())) if len(streams) > MAX_STREAMS else None
            has_ended = stream.has_ended
        if oldest is not None:
            oldest(CLOSING)
        if has_ended and oldest is not hear:
            hear(CLOSING)

    def end(self, stream: SessionStream) -> None:
        """The client does not read a stream any more."""
        with self._lock:
            streams = self._read.get(stream.session, {})
            streams.pop(stream, None)
            if not streams:
                self._read.pop(stream.session, None)

    def is_newest(self, stream: SessionStream) -> bool:
        """Whether messages go to this stream."""
        with self._lock:
            streams = self._read.get(stream.session)
            return not streams or next(reversed(streams)) is stream

    def subscribe(self, session: str, uri: str, *, on: bool) -> None:
        """Let the streams of a session know that it subscribes to a resource, or unsubscribes."""
        with self._lock:
            for stream in self._streams(session):
                stream.uris = stream.uris | {uri} if on else stream.uris - {uri}
                if stream.looks:
                    stream.changed[uri] = on

    def sessions(self) -> list[str]:
        """The sessions that have streams here."""
        with self._lock:
            return list(self._known)

    def end_session(self, session: str) -> None:
        """End the streams of a session, those that are being opened included."""
        with self._lock:
            for stream in self._streams(session):
                stream.has_ended = True
            reading = list(self._read.get(session, {}).values())
        for hear in reading:
            hear(CLOSING)

    def _streams(self, session: str) -> list[SessionStream]:
        # A copy: a stream may be freed, and leave the set, while somebody goes through it.
        known = [reference() for reference in list(self._known.get(session, ()))]
        return [stream for stream in known if stream is not None]

    def _forget(self, session: str, reference: ref[SessionStream]) -> None:
        with self._lock:
            known = self._known.get(session, set())
            known.discard(reference)
            if not known:
                self._known.pop(session, None)


class SessionStream:
    """The subscription of a session's GET stream: all lists, and the resources subscribed to.

    Args:
        session: The id of the session.
        streams: The streams of all sessions.
        is_polled: Whether the client comes by for what is new: it has one such stream at most.

    Attributes:
        uris: The resources that the session subscribes to, as far as they are known.
        looks: How often these are being looked up.
        changed: The resources that it has subscribed to (True) or unsubscribed from meanwhile.
        has_ended: Whether the session has ended meanwhile.
    """

    opening = None

    def __init__(self, session: str, streams: OpenStreams, *, is_polled: bool = False) -> None:
        self.session = session
        self.uris: frozenset[str] = frozenset()
        self.changed: dict[str, bool] = {}
        self.looks = 0
        self.has_ended = False
        self._streams = streams
        self._is_polled = is_polled
        streams.add(self)

    def begin(self, hear: OnChange) -> None:
        if not self._is_polled:
            self._streams.begin(self, hear)

    def end(self) -> None:
        if not self._is_polled:
            self._streams.end(self)

    def wants(self, change: Change) -> bool:
        if not self._is_polled and not self._streams.is_newest(self):
            return False
        if change.kind == "resource":
            return change.subject in self.uris
        return change.kind in _METHODS

    def message(self, change: Change) -> bytes | None:
        return session_message(change, self.uris)

    def everything(self) -> list[Change]:
        return session_changes(self.uris)


def session_message(change: Change, uris: frozenset[str]) -> bytes | None:
    """The notification of a change in a session; None if its client does not want it.

    Args:
        change: The change.
        uris: The resources that the session subscribes to.
    """
    if change.kind == "resource":
        if change.subject not in uris:
            return None
        return encode_notification(_METHODS["resource"], {"uri": change.subject})
    method = _METHODS.get(change.kind)
    return None if method is None else encode_notification(method, {})


def session_changes(uris: frozenset[str]) -> list[Change]:
    """All that the client of a session may hear of.

    Args:
        uris: The resources that the session subscribes to.
    """
    return [*map(Change, _FILTERS.values()), *(Change("resource", uri) for uri in sorted(uris))]


def bytes_of(uris: Iterable[str]) -> int:
    """How much memory URIs take, about."""
    return sum(len(uri) + _ENTRY_BYTES for uri in uris)


def check_uris(uris: Collection[str]) -> None:
    """Refuse more, or longer, URIs than one client may name.

    Args:
        uris: The URIs.

    Raises:
        ProtocolError: Invalid params.
    """
    if len(uris) > MAX_SUBJECTS:
        raise ProtocolError(INVALID_PARAMS, f"A client listens to {MAX_SUBJECTS} resources at most")
    if any(len(uri) > MAX_URI for uri in uris):
        raise ProtocolError(INVALID_PARAMS, f"A URI has {MAX_URI} characters at most")
    if bytes_of(uris) > MAX_URI_BYTES:
        raise ProtocolError(
            INVALID_PARAMS, f"The URIs that a client listens to take {MAX_URI_BYTES} bytes at most"
        )


def tasks_in(wanted: Mapping[str, Any]) -> list[str]:
    """The ids of the tasks that the filter of a `subscriptions/listen` request names.

    Args:
        wanted: The filter.

    Raises:
        ProtocolError: Invalid params.
    """
    return list(_strings(wanted, "taskIds"))


def _flag(wanted: Mapping[str, Any], name: str) -> bool:
    flag = wanted.get(name, False)
    if not isinstance(flag, bool):
        raise ProtocolError(INVALID_PARAMS, f'"{name}" must be a boolean')
    return flag


def _strings(wanted: Mapping[str, Any], name: str) -> dict[str, None]:
    """The strings of a filter, in their order, each once."""
    strings = wanted.get(name, [])
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise ProtocolError(INVALID_PARAMS, f'"{name}" must be a list of strings')
    if len(strings) > MAX_SUBJECTS:
        raise ProtocolError(INVALID_PARAMS, f'At most {MAX_SUBJECTS} "{name}" in a subscription')
    return dict.fromkeys(strings)
