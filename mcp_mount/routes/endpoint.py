"""The routes of a server itself: the MCP endpoint, and what it says of itself as a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from mcp_mount.transports.asgi import ASGITransport
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    Receive,
    Scope,
    Send,
    endpoint_url,
    is_refused,
    read_headers,
)
from mcp_mount.wire.messages import Reply
from mcp_mount.wire.resource_metadata import WELL_KNOWN


class EndpointParts(Protocol):
    """What these routes need of the parts of a server."""

    mcp_path: str
    asgi_endpoint: ASGITransport
    resource_server: Any
    is_attached: bool

    def metadata_reply(self, method: str, url: str | None) -> Reply: ...

    def is_endpoint(self, scope: Mapping[str, Any]) -> bool: ...


class MetadataRoute(BaseRoute):
    """The metadata of the server as a protected resource: below the mount point, or at the root
    of a server that stands alone."""

    def __init__(self, server: EndpointParts) -> None:
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or self._server.resource_server is None:
            return Match.NONE, {}
        own = self._server.mcp_path
        places = [WELL_KNOWN]
        if not self._server.is_attached:
            # The second one is for a prefix that a proxy takes away.
            places += [WELL_KNOWN + own, own + WELL_KNOWN]
        return (Match.FULL if route_path(scope) in places else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = endpoint_url(scope, read_headers(scope))
        reply = self._server.metadata_reply(scope["method"], url)
        response = Response(reply.body, reply.status, dict(reply.headers))
        await response(scope, receive, send)


class EndpointRoute(BaseRoute):
    """The MCP endpoint among the routes, for requests that come through user middleware.

    What the host has refused comes here, too, wherever it was to go: no other route knows of that.
    """

    def __init__(self, server: EndpointParts) -> None:
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and (self._server.is_endpoint(scope) or is_refused(scope))
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.asgi_endpoint(scope, receive, send)
