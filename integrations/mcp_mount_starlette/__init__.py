"""Mount an MCP server in a Starlette application: `mount(app, "/mcp", server)`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import BaseRoute, Match, Mount, compile_path
from starlette.types import Receive, Scope, Send

from mcp_mount.base import MCPServer
from mcp_mount.features import DefinitionError
from mcp_mount.hosting.exception_handlers import exception_hooks
from mcp_mount.hosting.host import Host
from mcp_mount.hosting.openness import may_guard
from mcp_mount.transports.paths import clean_prefix, route_path
from mcp_mount.transports.scopes import ISSUER_PATH
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, WELL_KNOWN
from mcp_mount.wrapping.arguments import check_mount
from mcp_mount_starlette.front import answer_in_front

__all__ = ["MCPMount", "mount"]

App = TypeVar("App", bound=Starlette)

_PROBES: Final = (("POST", "{}"), ("GET", "{}"), ("GET", "{}/below"), ("GET", WELL_KNOWN + "{}"))
"""Requests that a server must receive, as methods and paths; {} is the mount point."""


class MCPMount(Mount):
    """A route that serves a server at a path, with or without a slash, and below.

    Use it in a list of routes, or call `mount`. Starlette's own Mount does not answer at its exact
    path, but redirects to the path with a slash, and many clients drop their credentials on the
    way.

    Args:
        path: The mount point. It may have parameters ("/t/{tenant}/mcp"), which handlers find in
            `request.path_params`.
        server: The server.
        name: The name of the route, for `url_path_for`.
    """

    def __init__(self, path: str, server: MCPServer, *, name: str | None = None) -> None:
        super().__init__(clean_prefix(path), app=server, name=name)
        self._exact, _, self._convertors = compile_path(self.path)

    matches_by_path = True
    """Whether only path and method of a request count for it: see `front.py`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] in ("http", "websocket"):
            path = route_path(scope)
            found = self._exact.match(path)
            if found is not None:
                return Match.FULL, self._at(path, found.groupdict(), scope)
        match, inner = super().matches(scope)
        if match is Match.FULL and scope["type"] in ("http", "websocket"):
            inner = {**inner, "path": _whole_path(scope)}
        return match, inner

    def _at(self, path: str, given: Mapping[str, str], scope: Scope) -> Scope:
        """Return the scope of a request for the exact mount point."""
        root_path = scope.get("root_path", "")
        params = {key: self._convertors[key].convert(value) for key, value in given.items()}
        return {
            "path_params": {**scope.get("path_params", {}), **params},
            "app_root_path": scope.get("app_root_path", root_path),
            "root_path": root_path + path,
            "path": _whole_path(scope),
            "endpoint": self.app,
        }


def _whole_path(scope: Scope) -> str:
    """Return the path of a request including its root_path, which a proxy may have stripped, so
    that mounted applications find their own part of it.
    """
    root_path: str = scope.get("root_path", "")
    return root_path + route_path(scope)


def mount(app: App, path: str, server: MCPServer) -> App:
    """Serve `server` at `path` of a Starlette (or FastAPI) application.

    It answers with and without a slash, without a redirect. A lifespan of the server runs inside
    that of the application. The documents are shown if the application is in debug mode. The server
    takes precedence over routes that would receive its requests, such as a catch-all route or files
    at "/".

    Args:
        app: The application.
        path: The mount point. It may have parameters ("/t/{tenant}/mcp").
        server: The server.

    Returns:
        The application to serve, which is `app` itself: `mount` of every integration returns what
        the web server runs.

    Raises:
        ValueError: If the path does not start with "/".
        TypeError: If the arguments are swapped.
        DefinitionError: If something is already mounted at the path, or something has a permission
            by name and no middleware gives callers scopes.
    """
    check_mount(app, path, server, Starlette)
    path = clean_prefix(path)
    place = _place(app.router.routes, path)
    exact = compile_path(path)[0]
    before = server.core.host
    server.core.attach(
        Host(
            app=app,
            exceptions=exception_hooks(server, app),
            debug=lambda: bool(app.debug),
            serves_metadata=lambda wanted: (
                exact.match(wanted) is not None or before.serves_metadata(wanted)
            ),
            serves_issuer=lambda wanted: (
                exact.match(wanted) is not None and _has_issuer(app.router.routes, server)
            ),
            guards=lambda: may_guard(app.user_middleware),
            without_permissions=partial(_without_permissions, app, server),
        )
    )
    route = MCPMount(path, server)
    app.router.routes[place:place] = [route, _Metadata(path, server)]
    if "{" not in path:
        answer_in_front(app, route, server)
    changed = getattr(app.router, "_mark_routes_changed", None)
    if changed is not None:
        # FastAPI caches what it knows about its routes.
        changed()
    app.router.lifespan_context = _composed(app, server)
    return app


def _has_issuer(routes: Sequence[BaseRoute], server: MCPServer) -> bool:
    """Whether a server's own authorization server has the root of the domain: it is the first such
    server, and the application has no such document of its own.
    """
    first: _Metadata | None = None
    for route in routes:
        if getattr(route, "path", None) == AUTHORIZATION_SERVERS[0]:
            return False
        if first is None and isinstance(route, _Metadata) and route.signs_in:
            first = route
    return first is not None and first.server is server


def _without_permissions(app: Starlette, server: MCPServer) -> str | None:
    """Return what an application is called in errors in which no caller has a permission by name.

    Such permissions are the scopes of AuthenticationMiddleware; middleware of a user's own may give
    some as well.
    """
    middleware = [*app.user_middleware, *server.user_middleware]
    kinds: list[Any] = [one.cls for one in middleware]
    if may_guard(middleware) or AuthenticationMiddleware in kinds:
        return None
    name = "FastAPI" if isinstance(app, FastAPI) else "Starlette"
    return f"{name} without AuthenticationMiddleware (add it before mount)"


def _place(routes: Sequence[BaseRoute], path: str) -> int:
    """Return the index among some routes at which a server is reached.

    This is before the first route that would receive its requests, unless that route is for exactly
    its path: such a route, for a method of its own, keeps it.
    """
    for index, route in enumerate(routes):
        own = getattr(route, "path", None)
        if isinstance(route, Mount) and own == path:
            kind = "a server" if isinstance(route, MCPMount) else "an application"
            raise DefinitionError(
                f"{kind} is already mounted at {path!r} and would receive all requests: choose "
                "another path"
            )
        if own != path and any(_takes(route, *probe) for probe in _probes(path)):
            return index
    return len(routes)


def _probes(path: str) -> Iterator[tuple[str, str]]:
    # Fill the parameters of the pattern with a number, which is also a string.
    plain = compile_path(path)[1]
    for name in compile_path(path)[2]:
        plain = plain.replace(f"{{{name}}}", "1")
    for method, form in _PROBES:
        yield method, form.format(plain)


def _takes(route: BaseRoute, method: str, path: str) -> bool:
    """Whether a route would receive a request."""
    if type(route).__name__ == "Host":
        # It receives requests for its own host name, whatever their path.
        return False
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "path_params": {},
        "query_string": b"",
        "headers": [],
    }
    return route.matches(scope)[0] is Match.FULL


class _Metadata(BaseRoute):
    """Serves the metadata for access tokens, which are outside of the mount point (RFC 9728)."""

    matches_by_path = True

    def __init__(self, path: str, server: MCPServer) -> None:
        self._path = path
        self._exact = compile_path(path)[0]
        self.server = server

    @property
    def signs_in(self) -> bool:
        """Whether the server is an authorization server as well."""
        return self.server.core.sign_in is not None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and self._place(route_path(scope)) is not None
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_path(scope)
        place = self._place(path) or ""
        outer = path.removeprefix(place)
        root_path = scope.get("root_path", "") + (outer or self._path)
        inner = {**scope, "root_path": root_path, "path": root_path + place, ISSUER_PATH: outer}
        await self.server(inner, receive, send)

    def _place(self, path: str) -> str | None:
        """Return the place of metadata at a path, before the path of the server."""
        if not path.startswith("/.well-known/"):
            return None
        if path == AUTHORIZATION_SERVERS[0]:
            return path if self.signs_in and "{" not in self._path else None
        mount = "/" + "/".join(path.split("/")[3:])
        if self._exact.match(mount) is None:
            return None
        return self.server.core.discovery_place(path, mount)


def _composed(app: Starlette, server: MCPServer) -> Any:
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(host: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        async with outer(host) as state, server.router.lifespan_context(server) as own:
            yield {**(state or {}), **(own or {})} if state or own else state

    return lifespan
