"""The backplane: what requests of one server must learn of one another, in whatever process each of
them is served.

Handlers, futures, connections and locks stay in the process that has them. The backplane has plain
data only (text, numbers, JSON), so that Redis or a database can keep it. `SessionStates` is all
that one process needs; `Backplane` is for several. To add one, write a module in
`mcp_mount/backends/backplane/`:

1. A class with the members of `Backplane` and `shared = True`. It needs no base class: mypy
   compares it where it is given to `MCPServer(backplane=…)`.
2. An operation that takes time returns a step, `Do(do, awaited)`: `do()` blocks its thread, under
   WSGI; `awaited()` returns a coroutine, for event loops. A process may have several loops
   (that of an ASGI server, one in the background for WSGI), so a client that is bound to a loop is
   kept by loop. What is known at once is returned as it is.
3. The functions that `listen` is given may be called on any thread, and more than once for one
   message. A message that was published when the publishing of another one had ended comes after
   it, and is the last of the two to be repeated: otherwise a stream would stay subscribed to what
   its client has unsubscribed from. They return at once.
4. Everything that is kept has a time to live and may be dropped earlier to stay within a bound. A
   session of which nothing is known is open, has no log level and no subscriptions. What is noted
   of a session that has ended is dropped: a request of it may have been under way.
5. Two servers that share one Redis need different keys and topics: take a prefix as an argument.
6. The process may be forked after the object was made: open connections at the first use, by
   process id.
7. Raise `BackplaneUnavailable` if the other end does not answer. An operation has an end: its step
   needs a time limit of its own. `listen` does not fail for that: it goes on trying. Where nothing
   was tried, since it failed a moment ago, raise `BackplaneNotAsked`.
8. Add a row to `MAKERS` in `tests/backends/backplane/test_contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from mcp_mount.calls.flows import Do

T = TypeVar("T")

Asked: TypeAlias = T | Do[T]
"""What an operation returns: its outcome, if it is known at once, or the step that gets it.

The outcome of the embedded backplane costs no step and no turn of an event loop.
"""

Message: TypeAlias = Mapping[str, Any]
"""A JSON object with a "kind"."""

Record: TypeAlias = Mapping[str, str]
"""What is kept at a key, by the names of its fields."""

RESYNC: Final[Message] = {"kind": "resync"}
"""What a listener hears where messages may have been lost."""

BEAT: Final[Message] = {"kind": "beat"}
"""What a listener hears every few seconds while the backplane can be reached."""

NODE_SECONDS: Final = 30
"""How long a node counts as alive after its last sign of life: what is sent to it is kept for so
long."""

MISSING_SECONDS: Final = 5.0
"""How long a node must be missing after that until what it runs is lost, from when somebody first
misses it: a backplane that has lost its data knows nobody for a moment. So a call or a task of a
process that was killed fails after 35 seconds, if somebody asks for it all the time."""

UNREAD_SECONDS: Final = 5.0
"""How long the stream of another node is followed that no client reads here any more."""


class BackplaneUnavailable(Exception):
    """The backplane cannot be reached: a request that cannot do without is answered with 503."""


class BackplaneNotAsked(BackplaneUnavailable):
    """The same: it could not be reached a moment ago, so that nothing was tried."""


class BackplaneRefused(BackplaneUnavailable):
    """The backplane can be reached, but one of its keys holds something of somebody else's: to try
    again does not help, and others need not wait."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """What is known of a session besides its token.

    Attributes:
        ended: Whether its client has ended it.
        log_level: The lowest level of log messages that its client asked for, if it did.
    """

    ended: bool = False
    log_level: str | None = None


UNTOUCHED: Final = SessionState()
"""The state of a session of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Published:
    """Messages that were published after a place.

    Attributes:
        messages: In their order.
        place: The place after them: where to go on.
        is_complete: Whether no message is missing.
    """

    messages: Sequence[Message]
    place: str
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Pool:
    """Places of which there are so many, and the size that all their members may have together.

    Attributes:
        name: A short text.
        most: How many members it may have.
        most_size: How large they may be together.
    """

    name: str
    most: int
    most_size: int


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """What came of it that a member wanted places.

    Attributes:
        full: The name of the first pool that has no room; none if the member has its places.
        seconds: How long until the first place in that pool is free, at the latest.
        dropped: The members that had to go.
    """

    full: str | None = None
    seconds: float = 0.0
    dropped: Sequence[str] = ()


class SessionStates(Protocol):
    """Keeps plain data of sessions. Safe to use from any thread."""

    @property
    def shared(self) -> bool:
        """Whether other processes use it as well: then it is a `Backplane`."""

    def session(self, session: str) -> Asked[SessionState]:
        """What is known of a session. Asked for each request of a session.

        Args:
            session: The id of the session.
        """

    def end_session(self, session: str, *, ttl: float) -> Asked[None]:
        """Note that a client has ended its session, and forget what else is known of it.

        Args:
            session: The id of the session.
            ttl: Seconds until this may be forgotten: its token has expired then.
        """

    def set_log_level(self, session: str, level: str, *, ttl: float) -> Asked[None]:
        """Note the lowest level of log messages that the client of a session wants; nothing of one
        that has ended.

        Args:
            session: The id of the session.
            level: A level of the protocol.
            ttl: Seconds until this may be forgotten.
        """

    def subscribe(self, session: str, uri: str, *, on: bool, ttl: float) -> Asked[None]:
        """Note that a session subscribes to a resource, or unsubscribes; nothing of one that has
        ended.

        Args:
            session: The id of the session.
            uri: The URI of the resource.
            on: Whether it subscribes.
            ttl: Seconds until this may be forgotten.
        """

    def subscribed(self, session: str) -> Asked[frozenset[str]]:
        """The URIs of the resources that a session subscribes to.

        Args:
            session: The id of the session.
        """


class Backplane(SessionStates, Protocol):
    """What the processes of a server have in common. Safe to use from any thread.

    Each process is a node: it has a name while it listens.
    """

    def listen(self, node: str, hear: Callable[[Message], None]) -> Asked[Callable[[], None]]:
        """Call a function with each message that is published from now on, or sent to this node;
        with `RESYNC` where messages may have been lost, and with `BEAT` now and then.

        Args:
            node: The name of the node, which nobody else has.
            hear: Takes the message; called on any thread.

        Returns:
            A function that ends it, on any thread, without waiting. Others may take the node for
            alive for `NODE_SECONDS` more.
        """

    def publish(self, message: Message) -> Asked[None]:
        """Send a message to all nodes, this one included.

        Args:
            message: A JSON object.
        """

    def published(self, place: str | None) -> Asked[Published]:
        """The messages that were published after a place.

        Args:
            place: That of a `Published` of any process; None for the end. Of one that is no place,
                or whose messages are not kept, nothing is told but the place at the end.
        """

    def send(self, node: str, message: Message) -> Asked[bool]:
        """Send a message to a node; False if there is none of this name (any more).

        Args:
            node: Its name.
            message: A JSON object.
        """

    def is_alive(self, node: str) -> Asked[bool]:
        """Whether a node listens; one that ends without a word is missed after some time.

        Args:
            node: Its name.
        """

    def record(self, key: str) -> Asked[Record]:
        """What is kept at a key; nothing, if there is no such record, or no more.

        Args:
            key: A short text.
        """

    def left(self, key: str) -> Asked[float]:
        """In how many seconds a record is forgotten, by the clock of the backplane: those of
        processes may be minutes apart; 0 if there is none, or no more.

        Args:
            key: A short text.
        """

    def note(
        self, key: str, fields: Record, *, ttl: float, new: bool = False, final: str | None = None
    ) -> Asked[bool]:
        """Change fields of a record, all at once.

        Args:
            key: A short text.
            fields: Those that change.
            ttl: Seconds until the record is forgotten, where it is made now.
            new: Whether it is made now; otherwise nothing is noted of a record that is not there.
            final: A field that ends the record: once it is there, nothing is noted any more.

        Returns:
            Whether this was noted.
        """

    def append(self, key: str, items: Sequence[str], *, ttl: float, most: int) -> Asked[None]:
        """Append to a list.

        Args:
            key: A short text, of a list.
            items: What comes at its end; without any, its time alone changes.
            ttl: Seconds until the list may be forgotten, from now on.
            most: How many items are kept: the last ones.
        """

    def items(self, key: str, *, last: int | None = None) -> Asked[Sequence[str]]:
        """A list, as it is; without items, if there is none, or no more.

        Args:
            key: A short text, of a list.
            last: How many items are wanted, from its end; by default all.
        """

    def forget(self, key: str) -> Asked[None]:
        """Drop a record, or a list.

        Args:
            key: Its key.
        """

    def enter(
        self, pools: Sequence[Pool], member: str, *, ttl: float, size: int = 0
    ) -> Asked[PoolEntry]:
        """Give a member a place in each of several pools, or another size in those where it is:
        all of it or nothing, however many processes ask at a time.

        Where a pool has no room, the members go that need their places no more, those first that
        would be forgotten first. To be taken in, a member of no size needs room for one more.

        Args:
            pools: The pools.
            member: A short text.
            ttl: Seconds until it may be forgotten, where it is new.
            size: Its size.
        """

    def leave(self, pools: Sequence[str], member: str, *, at_need: bool = False) -> Asked[None]:
        """Take its places from a member.

        Args:
            pools: The names of the pools.
            member: The member.
            at_need: Whether it keeps them until another one needs them.
        """
