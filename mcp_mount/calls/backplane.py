"""The backplane: what requests of one server must learn of one another, in whatever process each of
them is served.

Handlers, futures, connections and locks stay in the process that has them. The backplane has plain
data only (text, numbers, JSON), so that Redis or a database can keep it. To add one, write a module
in `mcp_mount/backends/backplane/`:

1. A class with the members of `Backplane` and `shared = True`. It needs no base class: mypy
   compares it where it is given to `MCPServer(backplane=…)`.
2. An operation that takes time returns a step, `Do(do, awaited)`: `do()` blocks its thread, under
   WSGI; `awaited()` returns a coroutine, for event loops. A process may have several loops
   (that of an ASGI server, one in the background for WSGI), so a client that is bound to a loop is
   kept by loop, as `backends/stores.py` does. What is known at once is returned as it is.
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
7. Raise `BackplaneUnavailable` if the other end does not answer: the client of a request that needs
   it gets 503. An operation has an end: its step needs a time limit of its own.
8. Add a row to `BACKPLANES` in `tests/protocol/test_backplanes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from mcp_mount.calls.flows import Do

T = TypeVar("T")

Asked: TypeAlias = T | Do[T]
"""What an operation returns: its outcome, if it is known at once, or the step that gets it.

The outcome of the embedded backplane costs no step and no turn of an event loop.
"""

Message: TypeAlias = Mapping[str, Any]
"""A JSON object."""


class BackplaneUnavailable(Exception):
    """The backplane cannot be reached: the request that needs it is answered with 503."""


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


class Backplane(Protocol):
    """Keeps plain data of sessions, and carries messages between processes.

    Safe to use from any thread.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes use it as well. Otherwise no message is published."""

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

    def publish(self, message: Message) -> Asked[None]:
        """Send a message to all processes that listen now, this one included.

        Args:
            message: A JSON object.
        """

    def listen(self, hear: Callable[[Message], None]) -> Asked[Callable[[], None]]:
        """Call a function with each message that is published from now on.

        Args:
            hear: Takes the message; called on any thread.

        Returns:
            A function that ends it, on any thread, at once.
        """
