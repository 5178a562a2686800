"""The servers that pages in a browser connect to, and the options of CORS that let them."""

from __future__ import annotations

import os
from typing import Any

from mcp_mount import MCPServer
from mcp_mount.auth import JWT
from tests.clients.server import fill, keys

ORIGIN = os.environ.get("PAGE_ORIGIN", "http://app.example")
"""The origin of the page that may connect."""

MOUNTS: dict[str, dict[str, Any]] = {
    "/mcp": {"open": True},
    "/keyed/mcp": {"auth": keys()},
    "/oauth/mcp": {"auth": JWT("https://login.example.com")},
}
"""By its path, the options of each server of a host."""


def fill_system(server: MCPServer) -> MCPServer:
    """What the clients are shown, and a tool that leaves a mark."""
    fill(server)
    marks: list[str] = []

    @server.tool
    def mark() -> int:
        """Leave a mark."""
        marks.append("here")
        return len(marks)

    @server.tool
    def marks_left() -> int:
        """How many marks there are."""
        return len(marks)

    return server


def servers(*, alone: bool = False) -> dict[str, MCPServer]:
    """A server for each mount point, for hosts that take options in Python.

    alone: whether each is an application by itself, which must know its path.
    """
    found: dict[str, MCPServer] = {}
    for path, options in MOUNTS.items():
        own = {"path": path} if alone else {}
        server = MCPServer(
            "system", secret_key="for-tests-only", allowed_origins=[ORIGIN], **own, **options
        )
        found[path] = fill_system(server)
    return found
