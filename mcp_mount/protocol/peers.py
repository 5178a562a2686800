"""The other processes of a server, as far as a backplane connects this one with them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

from mcp_mount.calls.backplane import Backplane, Message
from mcp_mount.calls.flows import Do, Flow, done
from mcp_mount.calls.questions import process_name
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")


class Peers:
    """What this process tells the others, and hears of them.

    It tells of changes, of answers to questions and of cancellations that concern another process.
    Nothing is published on a backplane that is not shared.

    Args:
        backplane: What the processes have in common.
        later: Takes steps from any thread, and takes them one after another, without being waited
            for.
    """

    def __init__(self, backplane: Backplane, later: Callable[[Do[Any]], None]) -> None:
        self.backplane = backplane
        self._later = later
        self._own = secrets.token_hex(4)
        self._joined: tuple[int, Backplane] | None = None
        self._serving: int | None = None
        self._handlers: dict[str, Callable[[Message], object]] = {}

    @property
    def shared(self) -> bool:
        """Whether there may be other processes."""
        return self.backplane.shared

    def on(self, kind: str, handler: Callable[[Message], object]) -> None:
        """Call a function with the messages of a kind that other processes send.

        Args:
            kind: Such as "change".
            handler: Called on any thread; it returns at once.
        """
        self._handlers[kind] = handler

    @property
    def is_serving(self) -> bool:
        """Whether this process has had a request: its clients may have been told something that
        differs from what they would be told now. One that is still being set up has no clients, and
        neither has the process that web servers fork their workers from."""
        return self._serving == os.getpid()

    def serve(self) -> None:
        """Note that this process has a request."""
        self._serving = os.getpid()

    def join(self) -> Flow[None]:
        """Hear of the others from now on: requests that need them do this first."""
        here = os.getpid(), self.backplane
        if self._joined == here:
            return
        # Of several first requests each listens, until it sees that another one does.
        stop = yield from done(self.backplane.listen(self._hear))
        if self._joined == here:
            stop()
        self._joined = here

    def send(self, kind: str, **data: Any) -> Flow[None]:
        """Tell the others something, and wait until the backplane has it.

        Args:
            kind: Of the message.
            data: Its members.
        """
        if self.shared:
            yield from done(self.backplane.publish(self._message(kind, data)))

    def send_later(self, kind: str, **data: Any) -> None:
        """Tell the others something without waiting for it: in a signal handler, on any thread.

        Args:
            kind: Of the message.
            data: Its members.
        """
        if not self.shared:
            return
        try:
            asked = self.backplane.publish(self._message(kind, data))
        except Exception:
            # Of no concern to whoever has changed something: an operation that is a step fails
            # later, where nobody waits for it either.
            logger.warning("Other processes could not be told something", exc_info=True)
            return
        if isinstance(asked, Do):
            self._later(asked)

    def _message(self, kind: str, data: dict[str, Any]) -> Message:
        return {"kind": kind, "from": self._name(), **data}

    def _hear(self, message: Message) -> None:
        handler = self._handlers.get(message["kind"])
        if handler is not None and message["from"] != self._name():
            handler(message)

    def _name(self) -> str:
        return f"{process_name()}-{self._own}"
