"""Calls that wait for changes: made here, run by a driver as any other call."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.protocol.changes import Changes, Subscription
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError

Wait = Callable[..., Awaitable[None]]
"""A transport's coroutine function that waits: `listen(changes, subscription, channel=...)`."""

_PROBED_AFTER: Final = (0.05, 0.1, 0.15, 0.3, 0.4)
"""Seconds from one look whether clients have left to the next."""


class Listener:
    """Makes the calls of subscriptions, and counts what waits for clients: where each holds a
    thread, others must be left for those who do not wait."""

    def __init__(self, changes: Changes, wait: Wait) -> None:
        self._changes = changes
        self._wait = wait
        self._asking = 0
        self._lock = threading.Lock()
        self._probing = threading.Lock()

    def call(self, incoming: IncomingRequest, subscription: Subscription, result: Result) -> Call:
        """The call that tells `subscription` of changes, and ends with `result`.

        Raises ProtocolError (503) if no more may wait on this server.
        """
        if not self._makes_room(incoming.request.waiting):
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

    def _makes_room(self, most: int | None) -> bool:
        """Whether one more may wait, perhaps after those have gone whose clients have left.

        A WSGI server notices that when it writes, and at the second time: what it writes first is
        lost. One request at a time waits for that.
        """
        if self._has_room(most):
            return True
        if not most or not self._probing.acquire(blocking=False):
            return False
        try:
            for seconds in _PROBED_AFTER:
                self._changes.probe()
                time.sleep(seconds)
                if self._has_room(most):
                    return True
            return False
        finally:
            self._probing.release()

    def _has_room(self, most: int | None) -> bool:
        return most is None or self._changes.listeners() + self._asking < most


def _channel(incoming: IncomingRequest, channel: Any) -> Any:
    return channel
