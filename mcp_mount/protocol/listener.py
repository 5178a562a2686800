"""Calls that wait for changes: made here, run by a driver as any other call."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from mcp_mount.protocol.calls import Call, Result
from mcp_mount.protocol.changes import Changes, Subscription
from mcp_mount.protocol.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.protocol.incoming import Incoming

Wait = Callable[..., Awaitable[None]]
"""A transport's coroutine function that waits: `listen(changes, subscription, channel=...)`."""


class Listener:
    """Makes the calls of subscriptions, and counts what waits for clients: where each holds a
    thread, others must be left for those who do not wait."""

    def __init__(self, changes: Changes, wait: Wait) -> None:
        self._changes = changes
        self._wait = wait
        self._asking = 0
        self._lock = threading.Lock()

    def call(self, incoming: Incoming, subscription: Subscription, result: Result) -> Call:
        """The call that tells `subscription` of changes, and ends with `result`.

        Raises ProtocolError (503) if no more may wait on this server.
        """
        if not self._has_room(incoming.request.waiting):
            raise ProtocolError(
                INTERNAL_ERROR, "No more subscriptions can be open at this server", status=503
            )
        return Call(
            incoming,
            partial(self._wait, self._changes, subscription),
            is_async=True,
            encode=lambda value, revision: result,
            context=("channel", _channel),
        )

    def begin_question(self, most: int | None) -> bool:
        """Note that a call waits for its client; False if no more may.

        Where subscriptions have all the places, the oldest one ends: a question is part of a call
        that somebody waits for, while a subscription can be opened again. Besides, under WSGI a
        client of a subscription that has left is noticed late.

        Args:
            most: How many requests may wait on this server, subscriptions and questions together.
        """
        with self._lock:
            if not self._has_room(most) and not (most and self._changes.dismiss()):
                return False
            self._asking += 1
            return True

    def end_question(self) -> None:
        """Note that a call waits no more."""
        with self._lock:
            self._asking -= 1

    def _has_room(self, most: int | None) -> bool:
        return most is None or self._changes.listeners() + self._asking < most


def _channel(incoming: Incoming, channel: Any) -> Any:
    return channel
