"""Applications that are mounted in one another, and the way from the outer one to an endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from mcp_mount.base import MCPServer
from mcp_mount.features import DefinitionError
from mcp_mount.routes.dependencies import HOST_APP


def applications(api: FastAPI) -> Iterator[tuple[str, FastAPI]]:
    """An application and all FastAPI applications that are mounted in it, each with its prefix.

    MCP servers are none, though FastAPI applications: their routes are no endpoints of the user's.
    """
    yield "", api
    for prefix, app in _mounted(api.routes, "", {id(api)}):
        if isinstance(app, FastAPI):
            yield prefix, app


class Way:
    """The way to an application for a request of MCP.

    A guard may stand in an application that the endpoint's is mounted in. So a call begins at the
    application that the server is mounted in, if the endpoint's is below that.
    """

    def __init__(self, api: FastAPI) -> None:
        self._api = api
        self._prefixes: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def of(self, request: Request) -> tuple[Any, str]:
        """The application to call, and the prefix of the endpoint's in it.

        Raises:
            DefinitionError: If that prefix has parameters, which nobody gives.
        """
        host = request.scope.get(HOST_APP)
        if host is None or host is self._api:
            return self._api, ""
        prefix = self._prefixes.get(host)
        if prefix is None:
            found = _mounted(getattr(host, "routes", ()), "", {id(host)})
            prefix = next((prefix for prefix, app in found if app is self._api), None)
            if prefix is None:
                return self._api, ""
            if "{" in prefix:
                raise DefinitionError(
                    f"the application is mounted at {prefix!r}: expose the one that it is mounted "
                    "in, so that the parameters of its path are arguments"
                )
            self._prefixes[host] = prefix
        return host, prefix


def _mounted(routes: Sequence[Any], prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The applications that are mounted by some routes, however deep, each with its prefix."""
    for route in routes:
        if isinstance(route, Mount):
            app = _unwrapped(getattr(route, "_base_app", route.app))
            if id(app) in seen or isinstance(app, MCPServer):
                continue
            where = prefix + re.sub(r":\w+}", "}", route.path)
            yield where, app
            yield from _mounted(getattr(app, "routes", ()), where, {*seen, id(app)})
        inner = getattr(route, "original_router", None)
        if inner is not None:
            own = getattr(getattr(route, "include_context", None), "prefix", "")
            yield from _mounted(inner.routes, prefix + own, seen)


def _unwrapped(app: Any) -> Any:
    """The application within middleware that was put around it by hand."""
    while not isinstance(app, Starlette) and hasattr(app, "app"):
        app = app.app
    return app
