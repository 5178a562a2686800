"""Changes that clients may hear of, and the subscriptions to them.

2026-07-28 has `subscriptions/listen` (basic/patterns/subscriptions); the handshake revisions have
the GET stream of a session, and `resources/subscribe`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mcp_mount.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.protocol.messages import MessageId, encode_notification

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
MOST_URIS: Final = 1000
"""How many resources one client may listen to."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something changed: a list ("tools", "prompts", "resources"), or the "resource" at `uri`."""

    kind: str
    uri: str | None = None


CLOSING: Final = Change("closing")
"""Tells listeners that the server goes down."""

Hear = Callable[[Change], None]


class Changes(Protocol):
    """Where changes are told and heard: the part of the backplane that subscriptions use."""

    def listen(self, hear: Hear) -> Callable[[], None]: ...
    def listeners(self) -> int: ...


class Subscription(Protocol):
    """What a listener is told, in the words of its revision."""

    @property
    def opening(self) -> bytes | None:
        """The message that comes before all others."""

    def message(self, change: Change) -> bytes | None:
        """The notification of a change; None if the client does not want it."""


class Listen:
    """The subscription of a `subscriptions/listen` request.

    Raises ProtocolError (invalid params) for a filter that is malformed.
    """

    def __init__(self, message_id: MessageId, params: Mapping[str, Any]) -> None:
        wanted = params.get("notifications")
        if not isinstance(wanted, dict):
            raise ProtocolError(INVALID_PARAMS, 'params must have an object "notifications"')
        self.meta = {SUBSCRIPTION_META: message_id}
        self._kinds = {kind for name, kind in _FILTERS.items() if _flag(wanted, name)}
        self._uris = _uris(wanted)
        agreed: dict[str, Any] = {
            name: True for name, kind in _FILTERS.items() if kind in self._kinds
        }
        if self._uris:
            agreed["resourceSubscriptions"] = list(self._uris)
        self.opening = encode_notification(
            "notifications/subscriptions/acknowledged",
            {"_meta": self.meta, "notifications": agreed},
        )

    def message(self, change: Change) -> bytes | None:
        if change.kind == "resource":
            if change.uri not in self._uris:
                return None
            params = {"_meta": self.meta, "uri": change.uri}
        elif change.kind in self._kinds:
            params = {"_meta": self.meta}
        else:
            return None
        return encode_notification(_METHODS[change.kind], params)


class SessionStream:
    """The subscription of a session's GET stream: all lists, and the resources subscribed to."""

    opening = None

    def __init__(self, subscribed: Callable[[], frozenset[str]]) -> None:
        self._subscribed = subscribed

    def message(self, change: Change) -> bytes | None:
        if change.kind == "resource":
            if change.uri not in self._subscribed():
                return None
            return encode_notification(_METHODS["resource"], {"uri": change.uri})
        method = _METHODS.get(change.kind)
        return None if method is None else encode_notification(method, {})


def _flag(wanted: Mapping[str, Any], name: str) -> bool:
    flag = wanted.get(name, False)
    if not isinstance(flag, bool):
        raise ProtocolError(INVALID_PARAMS, f'"{name}" must be a boolean')
    return flag


def _uris(wanted: Mapping[str, Any]) -> dict[str, None]:
    uris = wanted.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise ProtocolError(INVALID_PARAMS, '"resourceSubscriptions" must be a list of URIs')
    if len(uris) > MOST_URIS:
        raise ProtocolError(INVALID_PARAMS, f"At most {MOST_URIS} resources in a subscription")
    return dict.fromkeys(uris)
