"""Direct calls and chats in front of an application's own routes.

Between an application without middleware and its routes stand an error handler, an exit stack and
every route before the server's. For a direct call (`mcp_mount.protocol.direct`), or a direct chat,
none of them does anything, and together they take as long as the call. So such a request is
answered before they are asked, where it is certain that it would have come to the server: all
other requests, and every application of which it is not certain, go their usual way.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute, Match, Mount, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount.base import MCPServer
from mcp_mount.transports.direct import again
from mcp_mount.transports.scopes import HOST_APP, RESUMED, SERVER
from mcp_mount.transports.short_ways import DirectRequests

_STACKS = (Starlette.build_middleware_stack, FastAPI.build_middleware_stack)
_ROUTERS = (Router, APIRouter)
_BY_PATH = frozenset(
    kind.matches for kind in (Route, WebSocketRoute, Mount, APIRoute, APIWebSocketRoute)
)
"""How routes match for which only path and method of a request count."""

_INCLUDED = "_IncludedRouter"
"""FastAPI's route for an included router, since 0.150: one that grows to take the requests of the
server after the start would not get its direct calls, over which `mount` has precedence anyway."""

_TELEMETRY = "fastapi.telemetry"
"""The key of a scope by which FastAPI's own telemetry follows a request through its routes."""


def answer_in_front(app: Starlette, route: Mount, server: MCPServer) -> None:
    """Answer the direct calls of a server before the application's own routes are asked, from when
    the application builds its middleware stack.

    Args:
        app: The application.
        route: The route by which the server is mounted, at a path without parameters.
        server: The server.
    """
    build = app.build_middleware_stack
    if getattr(build, "__func__", None) not in _STACKS and not hasattr(build, "answers_in_front"):
        # Something else has changed how the stack is built, and may have to see every request.
        return

    def build_with_front() -> ASGIApp:
        stack = build()
        # Instrumentation looks for Starlette's own outermost middleware: it stays where it is.
        if isinstance(stack, ServerErrorMiddleware) and not app.user_middleware:
            before = _before(app, route)
            if before is not None:
                stack.app = _Front(stack.app, app, route, server, before)
        return stack

    build_with_front.answers_in_front = True  # type: ignore[attr-defined]
    app.build_middleware_stack = build_with_front  # type: ignore[method-assign]


def _before(app: Starlette, route: Mount) -> Sequence[BaseRoute] | None:
    """The routes before one, if none of them could receive its POST requests; None if one could,
    or if that is not certain."""
    router = app.router
    if type(router) not in _ROUTERS or router.middleware_stack != router.app:
        return None
    if getattr(app, "max_body_size", None) is not None:
        return None
    if route not in router.routes:
        return None
    before = router.routes[: router.routes.index(route)]
    scope = {
        "type": "http",
        "method": "POST",
        "path": route.path,
        "raw_path": route.path.encode(),
        "root_path": "",
        "path_params": {},
        "query_string": b"",
        "headers": [],
    }
    for one in before:
        kind = type(one)
        is_known = kind.matches in _BY_PATH or kind.__name__ == _INCLUDED
        if not getattr(one, "matches_by_path", is_known) or one.matches(scope)[0] is Match.FULL:
            return None
    return before


class _Front:
    """Answers direct calls, and hands on all other requests.

    Args:
        app: What it is in front of.
        host: The application.
        route: The route of the server.
        server: The server.
        before: The routes before that one.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: Starlette,
        route: Mount,
        server: MCPServer,
        before: Sequence[BaseRoute],
    ) -> None:
        self.app = app
        self._host = host
        self._routes = host.router.routes
        self._path = route.path
        self._server = server
        self._known = [*before, route]
        self._count = len(self._known)
        self._paths: dict[str, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["path"].startswith(self._path)
            and not scope.get("root_path")
            and _TELEMETRY not in scope
            and self._server.core.allows_direct_calls
            # Routes may have come since, before that of the server.
            and self._host.router.routes[: self._count] == self._known
        ):
            endpoint = self._server.core.asgi_endpoint
            if scope["path"] != self._path:
                if (direct := self._direct(scope)) is not None:
                    inner = self._completed(scope)

                    async def otherwise(_: Scope, receive: Receive, send: Send) -> None:
                        if RESUMED in inner:
                            scope[RESUMED] = inner[RESUMED]
                        await self.app(scope, receive, send)

                    await direct.answer(inner, receive, send, otherwise)
                    return
            elif (asked := endpoint.direct.find(scope, self._path, stands_alone=False)) is not None:
                message = await receive()
                call = endpoint.direct.read(asked, message)
                if call is not None:
                    await endpoint.answer_directly(call, scope, receive, send, self._completed)
                    return
                receive = again(message, receive)
        await self.app(scope, receive, send)

    def _completed(self, scope: Scope) -> Scope:
        """The scope of a request as the application's routes would give it to the server."""
        return {
            **scope,
            "root_path": self._path,
            HOST_APP: self._host,
            SERVER: self._server,
            "mcp_mount.mounted": True,
        }

    def _direct(self, scope: Scope) -> DirectRequests | None:
        """What answers direct requests to a path below that of the server, if something does and
        none of the routes before takes it."""
        path = scope["path"]
        short = self._server.core.short_way(path[len(self._path) :])
        if short is None or short.direct is None or scope["method"] != "POST":
            return None
        is_free = self._paths.get(path)
        if is_free is None:
            is_free = all(one.matches(scope)[0] is not Match.FULL for one in self._known[:-1])
            self._paths[path] = is_free
        return short.direct if is_free else None
