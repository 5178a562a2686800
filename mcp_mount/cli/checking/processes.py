"""Whether the worker processes of a server reach what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from mcp_mount.base import MCPServer
from mcp_mount.calls.backplane import BackplaneUnavailable
from mcp_mount.calls.flows import Do
from mcp_mount.cli.checking.findings import Finding

_WHY: Final = (
    "requests of sessions, answers to questions and tasks get status 503 meanwhile, and clients "
    "of other processes hear of no changes; stateless calls are served"
)


def backplane_name(server: MCPServer) -> str | None:
    """What a person knows the backplane by: its URL without a password, or its class.

    Args:
        server: The server.

    Returns:
        None, if its processes have nothing in common.
    """
    backplane = server.core.backplane
    if backplane is None:
        return None
    given = server.core.values["backplane"]
    if not isinstance(given, str):
        return type(backplane).__name__
    parts = urlsplit(given)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_backplane(server: MCPServer) -> Iterator[Finding]:
    """Ask the backplane as a worker process does.

    Args:
        server: The server. Where its processes have nothing in common there is nothing to ask.
    """
    backplane = server.core.backplane
    if backplane is None:
        return
    try:
        asked = backplane.published(None)
        if isinstance(asked, Do):
            asked.do()
    except BackplaneUnavailable as error:
        yield Finding(
            f"The backplane {backplane_name(server)} cannot be used from here: {error}",
            _WHY,
            "start it, or mend backplane= (MCP_BACKPLANE in Flask, BACKPLANE in Django), and look "
            "at what stands between: the network, a password, the rights of its user",
        )
