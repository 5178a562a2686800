"""The other processes of a server, as far as a backplane connects this one with them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

from mcp_mount.calls.backplane import Backplane, Message
from mcp_mount.calls.flows import Do, Flow, done
from mcp_mount.calls.questions import process_name


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

    def join(self) -> Flow[None]:
        """Hear of the others from now on: each request does this first."""
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
        if self.shared:
            asked = self.backplane.publish(self._message(kind, data))
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
