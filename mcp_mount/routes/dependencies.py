"""FastAPI's dependencies in handlers: `Depends`, `Header` and the like, as in an endpoint."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, cast

from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mcp_mount.context import SyncContext
from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.features.functions import describe, is_coroutine_function, signature_of
from mcp_mount.routes.markers import is_header_or_cookie, is_solved, refuse_markers

HOST_APP: Final = "mcp_mount.app"
"""The key of a scope under which a server notes the application that it is mounted in."""

_REQUEST: Final = "mcp_mount_request"


class _Overrides:
    """The `dependency_overrides` in force for a call: the server's, and its host application's."""

    current: ContextVar[Mapping[Any, Any]] = ContextVar("dependency_overrides")

    @property
    def dependency_overrides(self) -> Mapping[Any, Any]:
        return self.current.get({})


_overrides: Final = _Overrides()

_call: ContextVar[tuple[dict[str, Any], list[Any]]] = ContextVar("call")
"""The arguments of the call that runs, and where its value goes."""


def with_dependencies(function: Any) -> Callable[..., Any]:
    """A function whose dependencies FastAPI solves when it is called; itself, if it has none.

    What FastAPI knows of an endpoint holds: dependencies of dependencies, one solution for each
    within a call, `yield` with its end after the call (and the call's exception, if it raised),
    security scopes, `dependency_overrides` of the application. An HTTPException of a dependency is
    the tool's failure, in its words. Headers and cookies are solved in the same way; where there is
    no HTTP they have their defaults. Raises DefinitionError for a plain function that wants a
    SyncContext besides, and for markers that mean nothing to a handler (Query, Form and others).
    """
    if not callable(function):
        # Whoever registers it says what is wrong.
        return cast("Callable[..., Any]", function)
    return _solving(function)


def _solving(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = signature_of(function)
    refuse_markers(function, signature)
    parameters = signature.parameters.values()
    solved = [one for one in parameters if is_solved(one)]
    if not solved:
        return function
    needs_http = not all(map(is_header_or_cookie, solved))
    solved += [one for one in parameters if one.annotation is Request]
    names = {one.name for one in solved}
    rest = [one for one in parameters if one.name not in names]
    is_async = is_coroutine_function(function)
    if not is_async and any(one.annotation is SyncContext for one in rest):
        raise DefinitionError(
            f"{describe(function)}: a function with dependencies that wants a context is written "
            "with 'async def', and takes a Context"
        )

    async def endpoint(**values: Any) -> Response:
        given, outcome = _call.get()
        if is_async:
            outcome.append(await function(**given, **values))
        else:
            outcome.append(await run_in_threadpool(function, **given, **values))
        return Response()

    endpoint.__signature__ = inspect.Signature(solved)  # type: ignore[attr-defined]
    route = APIRoute("/", endpoint, response_model=None, dependency_overrides_provider=_overrides)
    app = AsyncExitStackMiddleware(route.app)

    @wraps(function)
    async def call(**given: Any) -> Any:
        request = given.pop(_REQUEST)
        if request is None and not needs_http:
            request = Request({"type": "http", "headers": [], "query_string": b"", "path": "/"})
        if not isinstance(request, Request):
            raise ToolError(
                "Depends(), Header() and Cookie() need a request of Starlette, which there is none "
                "of here"
            )
        outcome: list[Any] = []
        token = _call.set((given, outcome))
        try:
            await _run(app, request)
        finally:
            _call.reset(token)
        return outcome[0]

    own = inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    keyword_only = [
        one.replace(kind=one.KEYWORD_ONLY) if one.kind is one.POSITIONAL_OR_KEYWORD else one
        for one in rest
    ]
    order = sorted([*keyword_only, own], key=lambda one: one.kind)
    call.__signature__ = signature.replace(parameters=order)  # type: ignore[attr-defined]
    return call


async def _run(app: Any, request: Request) -> None:
    """Run an endpoint of FastAPI for a request that is there already."""
    kept = ("fastapi_", "starlette.exception_handlers")
    scope = {key: value for key, value in request.scope.items() if not key.startswith(kept)}
    scope |= {"method": "GET", "path_params": {}}
    host, server = request.scope.get(HOST_APP), request.scope.get("app")
    token = _Overrides.current.set(
        {**getattr(host, "dependency_overrides", {}), **getattr(server, "dependency_overrides", {})}
    )

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Nobody waits for this response."""

    try:
        await app(scope, receive, send)
    except HTTPException as error:
        raise ToolError(str(error.detail)) from error
    except RequestValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise ToolError(f"The request lacks what this needs: {problems}") from error
    finally:
        _Overrides.current.reset(token)
