"""The server that answers a request, as its routes know it."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request

from mcp_mount.features import Registry
from mcp_mount.protocol import Protocol
from mcp_mount.transports.scopes import SERVER
from mcp_mount.transports.short_ways import ShortWay
from mcp_mount.transports.threads import Runner


class ServerParts(typing.Protocol):
    """What routes need of the server that they belong to."""

    protocol: Protocol
    registry: Registry
    runner: Runner
    http_tool_paths: dict[str, list[Registry]]
    short_ways: dict[str, ShortWay]

    def is_ending(self) -> bool:
        """Whether the process is told to end, of which it hears from now on."""

    def secret_keys(self) -> Sequence[str | bytes]:
        """The keys that it seals with, the oldest first."""


def parts_of(request: Request) -> ServerParts | None:
    """The parts of the server that answers a request; None for another FastAPI application, which
    has included a router of ours."""
    server: Any = request.scope.get(SERVER)
    if server is None or server is not request.app:
        return None
    parts: ServerParts = server.core
    return parts


def protocol_of(request: Request) -> Protocol | None:
    """The protocol of the server that answers a request, if it is one."""
    parts = parts_of(request)
    return None if parts is None else parts.protocol


_KEEP_ALIVE: Final = 15.0
"""Where no server says it."""


def keep_alive_of(request: Request) -> float:
    """After how many seconds of silence a comment is sent on an event stream."""
    server = protocol_of(request)
    return _KEEP_ALIVE if server is None else server.settings.keep_alive


def registry_of(request: Request, default: Registry) -> Registry:
    """The registry of the server that answers a request, or else `default`, that of a router."""
    parts = parts_of(request)
    return default if parts is None else parts.registry
