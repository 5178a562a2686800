"""FastAPI applications mounted in one another: their routes, and where a call begins."""

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
    """Yield an application and all FastAPI applications mounted in it, each with its prefix.

    MCP servers are FastAPI applications too, but are left out: their routes are not the user's.
    """
    yield "", api
    for prefix, app in _mounted(api.routes, "", {id(api)}):
        if isinstance(app, FastAPI):
            yield prefix, app


def routes_below(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield routes and those of the routers they include, each with the prefix of its router.

    Args:
        routes: The routes.
        prefix: The prefix of the routes themselves.
    """
    for route in routes:
        yield prefix, route
        # FastAPI keeps an included router as a route, with the prefix in an attribute.
        inner = getattr(route, "original_router", None)
        if inner is not None:
            own = getattr(getattr(route, "include_context", None), "prefix", "")
            yield from routes_below(inner.routes, prefix + own)


class EntryPoint:
    """The application at which calls of another application's endpoints begin.

    Middleware that protects an endpoint may belong to an application that the endpoint's is mounted
    in. So a call begins at the outermost known application that contains the endpoint's: the one
    that the MCP request came through, or else the one that the server is mounted in.

    Args:
        api: The application with the endpoints.
    """

    def __init__(self, api: FastAPI) -> None:
        self._api = api
        self._prefixes: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def of(self, request: Request) -> tuple[Any, str, str]:
        """Return where the call of an endpoint begins.

        Args:
            request: The caller's request.

        Returns:
            The application to call, its root path in the caller's request, and the path at which
            the endpoint's application is mounted in it.

        Raises:
            DefinitionError: If that path has parameters that the path of the request does not have.
        """
        # Starlette puts the first router of a request into its scope, and FastAPI's routers have
        # their application in this attribute.
        scope = request.scope
        router = scope.get("router")
        first = getattr(router, "dependency_overrides_provider", None)
        for outer in (first, scope.get(HOST_APP)):
            # The root path of the outermost application; that of a mounted one includes its own
            # prefix.
            root = scope.get("app_root_path", scope.get("root_path", "")) if outer is first else ""
            if outer is self._api:
                return self._api, root, ""
            prefix = self._prefix(outer) if isinstance(outer, Starlette) else None
            if prefix is not None:
                return outer, root, _filled(prefix, scope.get("path_params", {}))
        return self._api, "", ""

    def _prefix(self, outer: Any) -> str | None:
        """Return the path of the application in another one; None if it is not mounted there."""
        known = self._prefixes.get(outer)
        if known is None:
            found = _mounted(getattr(outer, "routes", ()), "", {id(outer)})
            known = next((prefix for prefix, app in found if app is self._api), None)
            if known is not None:
                self._prefixes[outer] = known
        return known


def _filled(prefix: str, given: Mapping[str, Any]) -> str:
    """Return a path with its parameters filled in from the caller's own request."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in given:
            raise DefinitionError(
                f"the application is mounted at {prefix!r}: expose the outer application, so that "
                "the parameters of that path are arguments"
            )
        return str(given[match[1]])

    return re.sub(r"{(\w+)}", value, prefix)


def _mounted(routes: Sequence[Any], prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the applications that routes mount, however deep, each with its prefix."""
    for own, route in routes_below(routes, prefix):
        if isinstance(route, Mount):
            app = _unwrapped(getattr(route, "_base_app", route.app))
            if id(app) in seen or isinstance(app, MCPServer):
                continue
            where = own + re.sub(r":\w+}", "}", route.path)
            yield where, app
            yield from _mounted(getattr(app, "routes", ()), where, {*seen, id(app)})


def _unwrapped(app: Any) -> Any:
    """Return the application inside middleware that was put around it by hand."""
    while not isinstance(app, Starlette) and hasattr(app, "app"):
        app = app.app
    return app
