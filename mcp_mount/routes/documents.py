"""The documents of a server (its OpenAPI document and the pages that show it) behind its gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from mcp_mount.features import Registry
from mcp_mount.routes.gate import Guard, checked, gate, incoming_of, known
from mcp_mount.transports.scopes import Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the caller of a request may not use: tools by their names, routes by their paths."""

    tools: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.tools or self.paths)


_hidden: Final[ContextVar[Hidden]] = ContextVar("mcp_mount_hidden", default=Hidden())  # noqa: B039


def hidden() -> Hidden:
    """What the caller of the current request may not use, while a document is made."""
    return _hidden.get()


def guard_documents(
    routes: Sequence[BaseRoute], paths: Iterable[str | None], registry: Registry
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
            route.app = _Guarded(route.app, registry, routes)


class _Guarded:
    """A route of a document."""

    def __init__(
        self, app: Callable[..., Any], registry: Registry, routes: Sequence[BaseRoute]
    ) -> None:
        self._app = app
        self._registry = registry
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            await gate(request)
            hidden = Hidden(await self._tools(request), await self._paths(request))
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
            await response(scope, receive, send)
            return
        token = _hidden.set(hidden)
        try:
            await self._app(scope, receive, send)
        finally:
            _hidden.reset(token)

    async def _paths(self, request: Request) -> frozenset[str]:
        """The routes of routers that the caller may not use."""
        refused: dict[Guard, bool] = {}
        found: set[str] = set()
        for path, guards in _guarded(self._routes, "", ()):
            for guard in guards:
                if guard not in refused:
                    refused[guard] = await _refuses(guard, request)
            if any(refused[guard] for guard in guards):
                found.add(path)
        return frozenset(found)

    async def _tools(self, request: Request) -> frozenset[str]:
        guarded = [tool for tool in self._registry.tools.values() if tool.rules]
        if not guarded:
            return frozenset()
        incoming = incoming_of(await known(request), "", self._registry)
        shows = [partial(self._registry.listing.shows, tool, incoming) for tool in guarded]
        seen = await checked(request, lambda: [one() for one in shows])
        return frozenset(
            tool.name for tool, is_seen in zip(guarded, seen, strict=True) if not is_seen
        )


async def _refuses(guard: Guard, request: Request) -> bool:
    try:
        await guard(request)
    except HTTPException:
        return True
    return False


def _guarded(
    routes: Iterable[Any], prefix: str, around: Sequence[Guard]
) -> Iterator[tuple[str, Sequence[Guard]]]:
    """The paths of routes, those of included routers among them, with the guards before each."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            context = getattr(route, "include_context", None)
            declared = (*inner.dependencies, *getattr(context, "dependencies", ()))
            yield from _guarded(
                inner.routes,
                prefix + getattr(context, "prefix", ""),
                (*around, *_guards_in(declared)),
            )
        elif isinstance(route, APIRoute):
            yield prefix + route.path_format, (*around, *_guards_in(route.dependencies))


def _guards_in(dependencies: Iterable[Any]) -> list[Guard]:
    return [one.dependency for one in dependencies if isinstance(one.dependency, Guard)]
