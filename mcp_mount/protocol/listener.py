"""Calls that wait for changes: made here, run by a driver as any other call."""

from __future__ import annotations

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
    """Makes the calls of subscriptions, as many as the server may have waiting."""

    def __init__(self, changes: Changes, wait: Wait) -> None:
        self._changes = changes
        self._wait = wait

    def call(self, incoming: Incoming, subscription: Subscription, result: Result) -> Call:
        """The call that tells `subscription` of changes, and ends with `result`.

        Raises ProtocolError (503) if no more may wait on this server.
        """
        waiting = incoming.request.waiting
        if waiting is not None and self._changes.listeners() >= waiting:
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


def _channel(incoming: Incoming, channel: Any) -> Any:
    return channel
