"""The other processes of a server, as far as a backplane connects this one with them."""

from __future__ import annotations

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from mcp_mount.calls.backplane import MISSING_SECONDS, RESYNC, Backplane, Message, SessionStates
from mcp_mount.calls.flows import Do, Flow, Wait, done, step
from mcp_mount.wire.forks import after_fork

_MAX_MISSING: Final = 1_000
"""Of how many missing processes the time is known; those go first that were asked for least lately.
"""


class Peers:
    """What this process tells the others, and hears of them.

    It tells of changes, of answers to questions and of cancellations that concern another process.
    Nothing is published on a backplane that is not shared.

    Args:
        states: What the processes have in common.
        later: Takes steps from any thread, and takes them one after another, without being waited
            for.

    Attributes:
        states: What is known of sessions.
        shared: Whether there may be other processes.
        is_serving: Whether this process has had a request: its clients may have been told something
            that differs from what they would be told now. One that is still being set up has no
            clients, and neither has the process that web servers fork their workers from.
        later: See above.
    """

    def __init__(self, states: SessionStates, later: Callable[[Do[Any]], None]) -> None:
        self.use(states)
        self.later = later
        # Processes that were forked from this one have names of their own.
        self._nodes: dict[int, str] = {}
        self._joined: tuple[int, Backplane] | None = None
        self._joining: dict[int, Future[None]] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._resynced = -MISSING_SECONDS
        # An attribute, which a fork resets: each direct call asks for it, and to ask the system for
        # the process id would cost it half a microsecond.
        self.is_serving = False
        self._handlers: dict[str, list[Callable[[Message], object]]] = {}
        after_fork(self._forget_requests)

    def _forget_requests(self) -> None:
        self.is_serving = False

    def use(self, states: SessionStates) -> None:
        """Have this in common with other processes from now on."""
        self.states = states
        self.shared = states.shared

    @property
    def backplane(self) -> Backplane:
        """What connects the processes, where there may be others."""
        assert self.shared, "one process has no backplane"
        return cast("Backplane", self.states)

    @property
    def node(self) -> str:
        """The name of this process, which others reach it by."""
        return self._nodes.get(os.getpid()) or self._nodes.setdefault(
            os.getpid(), secrets.token_hex(8)
        )

    def on(self, kind: str, handler: Callable[[Message], object]) -> None:
        """Call a function with the messages of a kind that come from elsewhere.

        Args:
            kind: Such as "change".
            handler: Called on any thread; it returns at once.
        """
        self._handlers.setdefault(kind, []).append(handler)

    def serve(self) -> None:
        """Note that this process has a request."""
        self.is_serving = True

    def join(self) -> Flow[None]:
        """Hear of the others from now on: requests that need them do this first."""
        here = os.getpid(), self.backplane
        while self._joined != here:
            # Of several first requests one does it, and the others wait; if its client leaves
            # meanwhile, the next one does it. No lock: a fork could leave it held for ever.
            mine: Future[None] = Future()
            first = self._joining.setdefault(os.getpid(), mine)
            if first is not mine:
                yield Wait(first)
                continue
            try:
                if self._joined != here:
                    yield from done(self.backplane.listen(self.node, self._hear))
                    self._joined = here
            finally:
                del self._joining[os.getpid()]
                mine.set_result(None)

    def send(self, kind: str, **data: Any) -> Flow[None]:
        """Tell all others something, and wait until the backplane has it.

        Args:
            kind: Of the message.
            data: Its members.
        """
        if self.shared:
            yield from done(self.backplane.publish(self._message(kind, data)))

    def send_to(self, node: str, kind: str, **data: Any) -> Flow[bool]:
        """Tell another process something, and wait until the backplane has it.

        Args:
            node: The name of the process.
            kind: Of the message.
            data: Its members.

        Returns:
            Whether there is such a process.
        """
        return (yield from done(self.backplane.send(node, self._message(kind, data))))

    def is_lost(self, node: str) -> Flow[bool]:
        """Whether a process has been missing for so long that what it runs is lost.

        Args:
            node: The name of the process, which there was.
        """
        if (yield from done(self.backplane.is_alive(node))):
            self._missing.pop(node, None)
            return False
        now = time.monotonic()
        since = self._missing.setdefault(node, now)
        with suppress(KeyError):
            # Another thread may have dropped it.
            self._missing.move_to_end(node)
            if len(self._missing) > _MAX_MISSING:
                self._missing.popitem(last=False)
        return now >= since + MISSING_SECONDS

    def knows_all(self) -> Flow[bool]:
        """Whether the backplane knows all processes that there are: one that has lost its data
        knows nobody for a moment."""
        if time.monotonic() < self._resynced + MISSING_SECONDS:
            return False
        return (yield from done(self.backplane.is_alive(self.node)))

    def send_later(self, kind: str, **data: Any) -> None:
        """Tell all others something without waiting for it: in a signal handler, on any thread.

        Args:
            kind: Of the message.
            data: Its members.
        """
        if self.shared:
            self.later(step(partial(self._publish, self._message(kind, data))))

    def _publish(self, message: Message) -> Flow[None]:
        yield from done(self.backplane.publish(message))

    def _message(self, kind: str, data: dict[str, Any]) -> Message:
        return {"kind": kind, "from": self.node, **data}

    def _hear(self, message: Message) -> None:
        if message["kind"] == RESYNC["kind"]:
            self._resynced = time.monotonic()
        if message.get("from") != self.node:
            for handler in self._handlers.get(message["kind"], ()):
                handler(message)
