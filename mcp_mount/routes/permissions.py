"""FastAPI's dependencies as permissions: `permission=Depends(require_admin)`.

What an application guards its endpoints with, says who may see and call a tool: who is refused by
the dependency finds the tool in no list.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from fastapi import params
from fastapi.exceptions import FastAPIError, RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mcp_mount.features import DefinitionError
from mcp_mount.policies.options import rules_in
from mcp_mount.routes.dependencies import OVERRIDES, overriding, refuse_needs, request_within
from mcp_mount.schemas.functions import describe, routine_of
from mcp_mount.transports.driving import wait_for
from mcp_mount.transports.scopes import GRANTED, LOOP
from mcp_mount.wire.messages import Rule

_WITHIN: Final = "mcp_mount.granting"
"""The key of a scope under which a request for a dependency keeps whether it was let in."""


def rules_of(declared: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules among declared options, with dependencies among the permissions.

    Raises:
        DefinitionError: For what is no rule.
    """
    given = declared.get("permission")
    if isinstance(given, params.Depends):
        return rules_in({**declared, "permission": _Permission(given)})
    if isinstance(given, Sequence) and any(isinstance(one, params.Depends) for one in given):
        permissions = [
            _Permission(one) if isinstance(one, params.Depends) else one for one in given
        ]
        return rules_in({**declared, "permission": permissions})
    return rules_in(declared)


class _Permission:
    """Whether a dependency lets a request pass: it does not if it raises HTTPException, or finds
    something missing. Each is asked once for a request, however many tools need it."""

    request_type = Request
    needs_loop = True
    """Whether it must be asked on a thread, while the event loop of the request goes on."""

    def __init__(self, depends: params.Depends) -> None:
        if depends.dependency is None:
            raise DefinitionError("permission=Depends() names no dependency: Depends(function)")
        _refuse_answers(depends.dependency)

        async def endpoint(request: Request, value: Any) -> Response:
            request.scope[_WITHIN].append(True)
            return Response()

        parameters = [
            inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request),
            inspect.Parameter("value", inspect.Parameter.KEYWORD_ONLY, default=depends),
        ]
        endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        try:
            route = APIRoute(
                "/", endpoint, response_model=None, dependency_overrides_provider=OVERRIDES
            )
        except (FastAPIError, AssertionError) as error:
            raise DefinitionError(f"permission={depends!r}: {error}") from None
        refuse_needs(depends.dependency, route.dependant)
        self._app = AsyncExitStackMiddleware(route.app)
        self._key = (depends.dependency, tuple(getattr(depends, "scopes", None) or ()))

    def __call__(self, request: Request) -> bool:
        granted: dict[Any, bool] = request.scope.setdefault(GRANTED, {})
        known = granted.get(self._key)
        if known is None:
            known = granted[self._key] = self._ask(request)
        return known

    def _ask(self, request: Request) -> bool:
        loop: asyncio.AbstractEventLoop | None = request.scope.get(LOOP)
        if loop is None:
            return wait_for(partial(self._passes, request))
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            raise RuntimeError("A dependency as a permission cannot be asked on its event loop")
        return asyncio.run_coroutine_threadsafe(self._passes(request), loop).result()

    async def _passes(self, request: Request) -> bool:
        within: list[bool] = []
        scope, receive, send = request_within(request)
        try:
            with overriding(request):
                await self._app({**scope, _WITHIN: within}, receive, send)
        except (HTTPException, RequestValidationError):
            return False
        return bool(within)


def _refuse_answers(dependency: Callable[..., Any]) -> None:
    """Refuse a dependency that answers yes or no: FastAPI does not look at its value."""
    annotations: Mapping[str, Any] = getattr(routine_of(dependency), "__annotations__", {})
    if annotations.get("return") in (bool, "bool"):
        raise DefinitionError(
            f"{describe(dependency)} returns a bool, and Depends lets a request pass whatever a "
            "dependency returns: raise HTTPException(403) in it, or write permission= with a "
            "function of the request. If it raises already, annotate it with None"
        )
