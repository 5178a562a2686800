"""The documents of a server (its OpenAPI document and the pages that show it) behind its gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from mcp_mount.features import Registry
from mcp_mount.routes.gate import checked, gate, incoming_of, known
from mcp_mount.transports.scopes import Receive, Scope, Send

_hidden: Final[ContextVar[frozenset[str]]] = ContextVar("mcp_mount_hidden", default=frozenset())


def hidden_tools() -> frozenset[str]:
    """The tools that the caller of the current request may not use, while a document is made."""
    return _hidden.get()


def guard_documents(
    routes: Iterable[BaseRoute], paths: Iterable[str | None], registry: Registry
) -> None:
    """Let the routes at some paths answer those alone whom the server lets in.

    Args:
        routes: Those of the server, FastAPI's among them.
        paths: Where its documents are.
        registry: The server's: what a caller may not use is in no document for them.
    """
    wanted = set(paths)
    for route in routes:
        if isinstance(route, Route) and route.path in wanted:
            # Here, and not before the application: middleware may be what knows the caller.
            route.app = _Guarded(route.app, registry)


class _Guarded:
    """A route of a document."""

    def __init__(self, app: Callable[..., Any], registry: Registry) -> None:
        self._app = app
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            await gate(request)
            hidden = await self._hidden(request)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
            await response(scope, receive, send)
            return
        token = _hidden.set(hidden)
        try:
            await self._app(scope, receive, send)
        finally:
            _hidden.reset(token)

    async def _hidden(self, request: Request) -> frozenset[str]:
        guarded = [tool for tool in self._registry.tools.values() if tool.rules]
        if not guarded:
            return frozenset()
        incoming = incoming_of(await known(request), "", self._registry)
        shows = [partial(self._registry.listing.shows, tool, incoming) for tool in guarded]
        seen = await checked(request, lambda: [one() for one in shows])
        return frozenset(
            tool.name for tool, is_seen in zip(guarded, seen, strict=True) if not is_seen
        )
