"""Who waits for changes in this process, and the calls that wait: made here, run by a driver as any
other call."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from mcp_mount.calls.backplane import Message
from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.protocol.changes import (
    CLOSING,
    LOOK,
    PROBE,
    RESYNC,
    Change,
    OnChange,
    Subscription,
    change_in,
)
from mcp_mount.protocol.peers import Peers
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.forks import after_fork

Wait = Callable[..., Awaitable[None]]
"""A transport's coroutine function that waits: `listen(changes, subscription, channel=...)`."""

_PROBED_AFTER: Final = (0.05, 0.1, 0.15, 0.3, 0.4)
"""Seconds from one look whether clients have left to the next."""


class Changes:
    """Tells changes to those who listen in this process, and hears of those of others.

    Safe to use from any thread.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        peers.on("change", self._hear_change)
        peers.on("resync", lambda message: self.publish(RESYNC))
        peers.on("beat", lambda message: self.publish(LOOK))
        self._clear()
        after_fork(self._clear)
        self.has_ended = False
        """Whether the process is told to end."""

    def _clear(self) -> None:
        # A signal handler may tell a change while its thread is in here.
        self._lock = threading.RLock()
        self._listeners: dict[object, OnChange] = {}
        self._waiting: dict[object, OnChange] = {}

    def listen(self, hear: OnChange, *, waits: bool = True) -> Callable[[], None]:
        """Call `hear` with every change from now on, on whatever thread tells it.

        Args:
            hear: Takes a change.
            waits: Whether a request waits for changes, and is counted as a listener.

        Returns:
            The function that ends it.
        """
        key = object()
        with self._lock:
            self._listeners[key] = hear
            if waits:
                self._waiting[key] = hear
            has_ended = self.has_ended
        if has_ended:
            hear(CLOSING)
        return lambda: self._unlisten(key)

    def listeners(self) -> int:
        """How many requests wait for changes now."""
        return len(self._waiting)

    def dismiss(self) -> bool:
        """End the wait of the request that has waited longest; False if none waits."""
        with self._lock:
            key = next(iter(self._waiting), None)
            if key is None:
                return False
            hear = self._waiting.pop(key)
            self._listeners.pop(key, None)
        hear(CLOSING)
        return True

    def probe(self) -> None:
        """Have all requests that wait write to their clients."""
        with self._lock:
            waiting = list(self._waiting.values())
        for hear in waiting:
            hear(PROBE)

    def tell(self, change: Change) -> None:
        """Tell a change to all who listen, here and in other processes."""
        self.publish(change)
        self._peers.send_later("change", what=change.kind, which=change.subject)

    def _hear_change(self, message: Message) -> None:
        change = change_in(message)
        if change is not None:
            self.publish(change)

    def publish(self, change: Change) -> None:
        """Tell a change to all who listen here."""
        with self._lock:
            listeners = list(self._listeners.values())
        for hear in listeners:
            hear(change)

    def end(self) -> None:
        """End all waits, each with its result, and begin no others: the process goes down."""
        with self._lock:
            self.has_ended = True
        self.publish(CLOSING)

    def _unlisten(self, key: object) -> None:
        with self._lock:
            self._listeners.pop(key, None)
            self._waiting.pop(key, None)


class Listener:
    """Makes the calls of subscriptions, and counts what waits for clients: where each holds a
    thread, others must be left for those who do not wait."""

    def __init__(self, changes: Changes, wait: Wait) -> None:
        self._changes = changes
        self._wait = wait
        self._clear()
        after_fork(self._clear)

    def _clear(self) -> None:
        self._asking = 0
        self._lock = threading.Lock()
        self._probing = threading.Lock()

    def call(self, incoming: IncomingRequest, subscription: Subscription, result: Result) -> Call:
        """The call that tells a subscription of changes, and ends with a result.

        Args:
            incoming: The request.
            subscription: Makes messages of changes.
            result: Sent when the server ends the subscription.

        Raises:
            ProtocolError: 503, if no more may wait on this server, or if it goes down.
        """
        if self._changes.has_ended:
            raise ProtocolError(
                INTERNAL_ERROR,
                "The server is restarting: try again in a second",
                status=503,
                retry_after=1,
            )
        if not self._makes_room(incoming.request.max_blocking):
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

    def begin_question(self, max_waiting: int | None) -> bool:
        """Note that a call waits for its client; False if no more may.

        Where subscriptions have all the places, the oldest one ends: a question is part of a call
        that somebody waits for, while a subscription can be opened again. Besides, under WSGI a
        client of a subscription that has left is noticed late.

        Args:
            max_waiting: How many requests may wait on this server, subscriptions and questions
                together.
        """
        with self._lock:
            if not self._has_room(max_waiting) and not (max_waiting and self._changes.dismiss()):
                return False
            self._asking += 1
            return True

    def end_question(self) -> None:
        """Note that a call waits no more."""
        with self._lock:
            self._asking -= 1

    def _makes_room(self, max_waiting: int | None) -> bool:
        """Whether one more may wait, perhaps after those have gone whose clients have left.

        A WSGI server notices that when it writes, and at the second time: what it writes first is
        lost. One request at a time waits for that.
        """
        if self._has_room(max_waiting):
            return True
        if not max_waiting or not self._probing.acquire(blocking=False):
            return False
        try:
            for seconds in _PROBED_AFTER:
                self._changes.probe()
                time.sleep(seconds)
                if self._has_room(max_waiting):
                    return True
            return False
        finally:
            self._probing.release()

    def _has_room(self, max_waiting: int | None) -> bool:
        return max_waiting is None or self._changes.listeners() + self._asking < max_waiting


def _channel(incoming: IncomingRequest, channel: Any) -> Any:
    return channel
