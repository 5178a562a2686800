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
from mcp_mount.hosting.namesakes import refuse_namesakes
from mcp_mount.hosting.openness import may_guard
from mcp_mount.hosting.root import may_be_at_root, place_below
from mcp_mount.routes.endpoint import has_own
from mcp_mount.transports.paths import clean_prefix, route_path
from mcp_mount.wire.resource_metadata import ALIASES, AUTHORIZATION_SERVERS, WELL_KNOWN
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
        self.server = server
        self._exact, _, self._convertors = compile_path(self.path)

    matches_by_path = True
    """Whether only path and method of a request count for it: see `front.py`."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for this mount, as of any `Mount`; also at the path itself, without
        a slash at its end.

        Args:
            scope: The scope of the request.

        Returns:
            How it matches, and what it changes in the scope.
        """
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
        DefinitionError: If something is already mounted at the path, if a server of this name is
            mounted that shares the backplane, or if something has a permission by name and no
            middleware gives callers scopes.
    """
    check_mount(app, path, server, Starlette)
    path = clean_prefix(path)
    place = _place(app.router.routes, path)
    mounts = [route for route in app.router.routes if isinstance(route, MCPMount)]
    refuse_namesakes(server.core, [route.server.core for route in mounts])
    exact = compile_path(path)[0]
    before = server.core.host
    root = _Root(path, server, app.router.routes)
    server.core.attach(
        Host(
            app=app,
            exceptions=exception_hooks(server, app),
            debug=lambda: bool(app.debug),
            serves_metadata=lambda wanted: (
                exact.match(wanted) is not None or before.serves_metadata(wanted)
            ),
            serves_issuer=lambda wanted: exact.match(wanted) is not None and root.has_origin(),
            guards=lambda: may_guard(app.user_middleware),
            without_permissions=partial(_without_permissions, app, server),
        )
    )
    route = MCPMount(path, server)
    app.router.routes[place:place] = [route, root]
    if "{" not in path:
        answer_in_front(app, route, server)
    changed = getattr(app.router, "_mark_routes_changed", None)
    if changed is not None:
        # FastAPI caches what it knows about its routes.
        changed()
    app.router.lifespan_context = _composed(app, server)
    return app


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
    return route.matches(_scope(method, path))[0] is Match.FULL


def _scope(method: str, path: str) -> Scope:
    """Return the scope of a request, as far as routes look at it."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "path_params": {},
        "query_string": b"",
        "headers": [],
    }


class _Root(BaseRoute):
    """Serves what is outside of the mount point: metadata (RFC 9728, RFC 8414), and the endpoints
    of the server's own authorization server, where clients look for them without metadata.
    """

    matches_by_path = True

    def __init__(self, path: str, server: MCPServer, routes: Sequence[BaseRoute]) -> None:
        self._path = path
        self._exact = compile_path(path)[0]
        self._routes = routes
        self.server = server

    @property
    def signs_in(self) -> bool:
        """Whether the server is an authorization server as well."""
        return self.server.core.sign_in is not None

    @property
    def has_servers(self) -> bool:
        """Whether the server takes tokens of authorization servers."""
        resource = self.server.core.resource_server
        return resource is not None and resource.has_servers

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and self._place(scope) is not None
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = self._place(scope) or ""
        root_path = scope.get("root_path", "") + self._mount_of(route_path(scope))
        inner = {**scope, "root_path": root_path, "path": root_path + place}
        await self.server(inner, receive, send)

    def has_origin(self) -> bool:
        """Whether the issuer of the server's authorization server is the origin: it is the first
        such server, and the application has no such document of its own.
        """
        if "{" in self._path or not self.signs_in:
            return False
        own = [one for one in self._routes if isinstance(one, _Root)]
        if next(one for one in own if one.signs_in) is not self:
            return False
        return not has_own(self._routes, _scope("GET", AUTHORIZATION_SERVERS[0]), but=own)

    def _mount_of(self, path: str) -> str:
        """Return the mount point, of which parameters are in the path of a request."""
        if "{" not in self._path:
            return self._path
        return "/" + "/".join(path.split("/")[3:]).rstrip("/")

    def _place(self, scope: Scope) -> str | None:
        """Return the place below the mount point at which a request is answered."""
        path = route_path(scope)
        if not may_be_at_root(path) or self.server.core.resource_server is None:
            return None
        mount = self._mount_of(path)
        if self._exact.match(mount) is None:
            return None
        own = [one for one in self._routes if isinstance(one, _Root)]
        if path in ALIASES and has_own(self._routes, scope, but=own):
            return None
        return place_below(
            self.server.core,
            path,
            mount,
            has_origin=self.has_origin(),
            is_only="{" not in self._path and sum(one.has_servers for one in own) == 1,
        )


def _composed(app: Starlette, server: MCPServer) -> Any:
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(host: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        async with outer(host) as state, server.router.lifespan_context(server) as own:
            yield {**(state or {}), **(own or {})} if state or own else state

    return lifespan
