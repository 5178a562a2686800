"""The stream of a session where each open one would hold a thread, and processes share a backplane:
its client comes by, at any of them, for what was published since. Nothing is kept for it; its place
is in the ids of events."""

from __future__ import annotations

from typing import Final

from mcp_mount.calls.backplane import Published
from mcp_mount.calls.flows import Flow, done
from mcp_mount.protocol.changes import Change, change_in, session_changes, session_message
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.resumption import EventPlace, growing
from mcp_mount.protocol.settings import Settings
from mcp_mount.wire import sse

_PREFIX: Final = "at-"


class PolledChanges:
    """What clients hear who come by. Safe to use from any thread.

    Args:
        peers: Have published it.
        settings: Say how often clients come by.
    """

    def __init__(self, peers: Peers, settings: Settings) -> None:
        self._peers = peers
        self._settings = settings

    def poll(self, session: str, seen: EventPlace | None) -> Flow[bytes]:
        """The events that a client does not have yet, and one that tells it to come back.

        Args:
            session: The id of its session.
            seen: What it says where it is. A client that says nothing, or what another kind of
                server has told it, begins now.

        Raises:
            BackplaneUnavailable: If it cannot be told.
        """
        place, quiet = None, 0
        if seen is not None and seen.stream.startswith(_PREFIX):
            place, quiet = seen.stream.removeprefix(_PREFIX), seen.number
        published = yield from done(self._peers.backplane.published(place))
        changes = _changes(published)
        events: list[bytes] = []
        is_lost = place is not None and (
            not published.is_complete or any(one["kind"] == "resync" for one in published.messages)
        )
        if changes or is_lost:
            uris = yield from done(self._peers.states.subscribed(session))
            told = session_changes(uris) if is_lost else changes
            messages = (session_message(change, uris) for change in told)
            events = [sse.event(message) for message in messages if message is not None]
        quiet = 0 if events or place is None else quiet + 1
        retry = growing(self._settings.poll_seconds, self._settings.max_poll_seconds, quiet)
        # Only the last event has an id: a client that is cut off before gets all of them again.
        last = b"id: %b.%d\n%b" % (
            (_PREFIX + published.place).encode(),
            quiet,
            sse.retry_event(retry),
        )
        return b"".join([*events, last])


def _changes(published: Published) -> list[Change]:
    """The changes among messages, each once."""
    found = [one for one in published.messages if one["kind"] == "change"]
    return list(dict.fromkeys(change for one in found if (change := change_in(one)) is not None))
