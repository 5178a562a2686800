"""Mount an MCP server in a Starlette application: `mount(app, "/mcp", server)`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Receive, Scope, Send

from mcp_mount.base import MCPServer
from mcp_mount.host import Host
from mcp_mount.mounting import check_mount
from mcp_mount.openness import may_guard
from mcp_mount.protocol.resource_metadata import WELL_KNOWN
from mcp_mount.transports.paths import clean_prefix, route_path

__all__ = ["MCPMount", "mount"]


class MCPMount(Mount):
    """A route that gives `path`, with or without a slash behind it, and all below to a server.

    Starlette's own Mount does not answer at its very path: the router redirects there, and many
    clients drop their credentials on the way. Use it in a list of routes, or call `mount`.
    """

    def __init__(self, path: str, server: MCPServer, *, name: str | None = None) -> None:
        super().__init__(clean_prefix(path), app=server, name=name)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] in ("http", "websocket") and route_path(scope) == self.path:
            root_path = scope.get("root_path", "")
            child: dict[str, Any] = {
                "path_params": dict(scope.get("path_params", {})),
                "app_root_path": scope.get("app_root_path", root_path),
                "root_path": root_path + self.path,
                "endpoint": self.app,
            }
            return Match.FULL, child
        return super().matches(scope)


def mount(app: Starlette, path: str, server: MCPServer) -> None:
    """Serve `server` at `path` of a Starlette (or FastAPI) application.

    There is no redirect and no lifespan line to write: if the user gave the server a lifespan, it
    runs inside that of the application. Docs are shown if the application is in debug mode.
    Raises ValueError for a path that does not start with "/", TypeError for swapped arguments.
    """
    check_mount(app, path, server, Starlette)
    path = clean_prefix(path)
    server.attach(
        Host(
            debug=lambda: bool(app.debug),
            serves_metadata=lambda wanted: wanted == path,
            guards=lambda: may_guard(app.user_middleware),
        )
    )
    app.router.routes.append(MCPMount(path, server))
    app.router.routes.append(_Metadata(path, server))
    if server.has_lifespan:
        app.router.lifespan_context = _composed(app, server)


class _Metadata(BaseRoute):
    """The metadata of a server with access tokens: RFC 9728 has them outside of its mount point."""

    def __init__(self, path: str, server: MCPServer) -> None:
        self._path = path
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = (
            scope["type"] == "http"
            and self._server.resource_server is not None
            and route_path(scope) == WELL_KNOWN + self._path
        )
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope.get("root_path", "") + self._path
        inner = {**scope, "root_path": root_path, "path": root_path + WELL_KNOWN}
        await self._server(inner, receive, send)


def _composed(app: Starlette, server: MCPServer) -> Any:
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(host: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with outer(host) as state, server.router.lifespan_context(server) as own:
            yield {**(state or {}), **(own or {})}

    return lifespan
