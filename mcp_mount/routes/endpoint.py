"""The routes of a server itself: the MCP endpoint, and what it says of itself as a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match

from mcp_mount.protocol.resource_metadata import METADATA_HEADERS, WELL_KNOWN
from mcp_mount.transports.asgi import (
    ASGITransport,
    Receive,
    Scope,
    Send,
    endpoint_url,
    read_headers,
)
from mcp_mount.transports.paths import route_path


class Resource(Protocol):
    """A protected resource."""

    def metadata(self, url: str) -> dict[str, Any] | None: ...


class Server(Protocol):
    """What these routes need of a server."""

    mcp_path: str
    asgi_endpoint: ASGITransport

    @property
    def resource_server(self) -> Resource | None: ...

    @property
    def is_attached(self) -> bool: ...

    def is_endpoint(self, scope: Mapping[str, Any]) -> bool: ...


class MetadataRoute(BaseRoute):
    """The metadata of the server as a protected resource: below the mount point, or at the root
    of a server that stands alone."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = route_path(scope) if scope["type"] == "http" else ""
        own = self._server.mcp_path
        places = [WELL_KNOWN]
        if not self._server.is_attached:
            # The second one is for a prefix that a proxy takes away.
            places += [WELL_KNOWN + own, own + WELL_KNOWN]
        found = self._server.resource_server is not None and path in places
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = endpoint_url(scope, read_headers(scope))
        assert self._server.resource_server is not None
        document = None if url is None else self._server.resource_server.metadata(url)
        if document is None:
            response = JSONResponse({"detail": "Not Found"}, 404)
        elif scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            response = JSONResponse({"detail": "Method Not Allowed"}, 405, {"allow": "GET"})
        else:
            response = JSONResponse(document, headers=METADATA_HEADERS)
        await response(scope, receive, send)


class EndpointRoute(BaseRoute):
    """The MCP endpoint among the routes, for requests that come through user middleware."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and self._server.is_endpoint(scope)
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.asgi_endpoint(scope, receive, send)
