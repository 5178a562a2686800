"""Telling clients of changes, from anywhere in the process."""

from __future__ import annotations

from mcp_mount.protocol.changes import CLOSING, Change
from mcp_mount.protocol.listener import Changes
from mcp_mount.wire.uris import normal_uri


class Notifier:
    """Tells the clients that listen, of both kinds of revision, that something has changed.

    Call it from plain code and coroutines, within a request or outside: in a Django signal, in a
    thread. It does not wait. Clients of other processes hear of it where the server has a backplane
    that is shared with them.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def resource_updated(self, uri: str) -> None:
        """The resource at `uri` reads differently now.

        Args:
            uri: Its URI, in any form: encoded or not.
        """
        self._changes.tell(Change("resource", normal_uri(uri)))

    def tools_list_changed(self) -> None:
        """The list of tools is another one. Registering a tool says so by itself."""
        self._changes.tell(Change("tools"))

    def prompts_list_changed(self) -> None:
        """The list of prompts is another one. Registering a prompt says so by itself."""
        self._changes.tell(Change("prompts"))

    def resources_list_changed(self) -> None:
        """The list of resources is another one. Registering a resource says so by itself."""
        self._changes.tell(Change("resources"))

    def task_changed(self, task_id: str) -> None:
        """A task has another status now. Those in this process say so by themselves."""
        self._changes.tell(Change("task", task_id))

    def close(self) -> None:
        """End all open subscriptions, as at a shutdown: each with its result."""
        self._changes.publish(CLOSING)
