"""FastAPI applications that are mounted in one another: their routes, and where a call begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from mcp_mount.base import MCPServer
from mcp_mount.features import DefinitionError
from mcp_mount.transports.scopes import HOST_APP


def applications(api: FastAPI) -> Iterator[tuple[str, FastAPI]]:
    """An application and all FastAPI applications that are mounted in it, each with its prefix.

    MCP servers, which are FastAPI applications too, are left out: their routes are not the user's.
    """
    yield "", api
    for prefix, app in _mounted(api.routes, "", {id(api)}):
        if isinstance(app, FastAPI):
            yield prefix, app


def routes_below(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Some routes and those of the routers included by them, each with the prefix of its router."""
    for route in routes:
        yield prefix, route
        # FastAPI keeps an included router as a route, and its prefix beside it.
        inner = getattr(route, "original_router", None)
        if inner is not None:
            own = getattr(getattr(route, "include_context", None), "prefix", "")
            yield from routes_below(inner.routes, prefix + own)


class EntryPoint:
    """The application at which the calls of another application's endpoints begin.

    Middleware that guards an endpoint may belong to an application that the endpoint's is mounted
    in. So a call begins at the outermost application that is known and has the endpoint's below it:
    the one that the MCP request came in by, or else the one that the server is mounted in.
    """

    def __init__(self, api: FastAPI) -> None:
        self._api = api
        self._prefixes: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def of(self, request: Request) -> tuple[Any, str, str]:
        """Where the call of an endpoint begins.

        Args:
            request: The caller's.

        Returns:
            The application to call; its root path, as the caller's request had it there; and the
            path at which the endpoint's application is mounted in it.

        Raises:
            DefinitionError: If that path has parameters that the path of the request does not give.
        """
        # Starlette puts the first router of a request into its scope, and FastAPI's routers know
        # their application by this attribute.
        scope = request.scope
        router = scope.get("router")
        first = getattr(router, "dependency_overrides_provider", None)
        for outer in (first, scope.get(HOST_APP)):
            # The root path of the outermost application; that of a mounted one has its own, too.
            root = scope.get("app_root_path", scope.get("root_path", "")) if outer is first else ""
            if outer is self._api:
                return self._api, root, ""
            prefix = self._prefix(outer) if isinstance(outer, Starlette) else None
            if prefix is not None:
                return outer, root, _filled(prefix, scope.get("path_params", {}))
        return self._api, "", ""

    def _prefix(self, outer: Any) -> str | None:
        """The path of the application in another one; None if it is not mounted there."""
        known = self._prefixes.get(outer)
        if known is None:
            found = _mounted(getattr(outer, "routes", ()), "", {id(outer)})
            known = next((prefix for prefix, app in found if app is self._api), None)
            if known is not None:
                self._prefixes[outer] = known
        return known


def _filled(prefix: str, given: Mapping[str, Any]) -> str:
    """A path with its parameters as the caller's own request has them."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in given:
            raise DefinitionError(
                f"the application is mounted at {prefix!r}: expose the one that it is mounted in, "
                "so that the parameters of that path are arguments"
            )
        return str(given[match[1]])

    return re.sub(r"{(\w+)}", value, prefix)


def _mounted(routes: Sequence[Any], prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The applications that are mounted by some routes, however deep, each with its prefix."""
    for own, route in routes_below(routes, prefix):
        if isinstance(route, Mount):
            app = _unwrapped(getattr(route, "_base_app", route.app))
            if id(app) in seen or isinstance(app, MCPServer):
                continue
            where = own + re.sub(r":\w+}", "}", route.path)
            yield where, app
            yield from _mounted(getattr(app, "routes", ()), where, {*seen, id(app)})


def _unwrapped(app: Any) -> Any:
    """The application within middleware that was put around it by hand."""
    while not isinstance(app, Starlette) and hasattr(app, "app"):
        app = app.app
    return app
