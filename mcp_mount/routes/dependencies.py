"""FastAPI's dependencies in handlers: `Depends`, `Header` and the like, as in an endpoint."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, get_origin

from fastapi import params
from fastapi.exceptions import FastAPIError, RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from mcp_mount.calls.call import Call, Policy
from mcp_mount.calls.flows import Enter, Flow
from mcp_mount.calls.results import Result
from mcp_mount.context.context import Context, SyncContext
from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.routes.markers import is_header_or_cookie, is_solved, refuse_markers
from mcp_mount.schemas.functions import describe, is_coroutine_function, signature_of
from mcp_mount.transports.lasting import ended, keep
from mcp_mount.transports.scopes import HOST_APP, SERVER, Receive, Send
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_REQUEST: Final = "mcp_mount_request"
"""The parameter by which a function tells that it needs a request of Starlette."""


class _Overrides:
    """The `dependency_overrides` in force for a call: the server's, and its host application's."""

    current: ContextVar[Mapping[Any, Any]] = ContextVar("dependency_overrides")

    @property
    def dependency_overrides(self) -> Mapping[Any, Any]:
        return self.current.get({})


OVERRIDES: Final = _Overrides()


@contextmanager
def overriding(request: Request) -> Iterator[None]:
    """Let the `dependency_overrides` of a request's server and application be in force."""
    host, server = request.scope.get(HOST_APP), request.scope.get(SERVER)
    token = _Overrides.current.set(
        {
            **getattr(host, "dependency_overrides", {}),
            **getattr(server, "dependency_overrides", {}),
        }
    )
    try:
        yield
    finally:
        _Overrides.current.reset(token)


def request_within(request: Request) -> tuple[dict[str, Any], Receive, Send]:
    """A request by which FastAPI solves dependencies, for one that is there already."""
    kept = ("fastapi_", "starlette.exception_handlers")
    scope = {key: value for key, value in request.scope.items() if not key.startswith(kept)}
    scope |= {"method": "GET"}
    scope.setdefault("path_params", {})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Do nothing: there is no response."""

    return scope, receive, send


def split_dependencies(function: Any) -> tuple[Callable[..., Any], Policy | None]:
    """Split a handler into a function without dependencies and the policy that solves them.

    Everything that FastAPI does for an endpoint applies: dependencies of dependencies, one solution
    for each within a call, `yield` with its end after the call (and the call's exception, if it
    failed), security scopes, `dependency_overrides` of the application. An HTTPException of a
    dependency refuses the call, with its detail. Headers and cookies are solved in the same way;
    where there is no HTTP they have their defaults.

    Args:
        function: The handler.

    Returns:
        The function and the policy; the handler itself and None, if it has no dependencies.

    Raises:
        DefinitionError: If a dependency must be passed by position, or needs what no MCP request
            has, and for markers that mean nothing to a handler (Query, Form and others).
    """
    if not callable(function):
        # Registration reports what is wrong with it.
        return function, None
    signature = signature_of(function)
    refuse_markers(function, signature)
    parameters = list(signature.parameters.values())
    solved = [one for one in parameters if is_solved(one)]
    if not solved:
        return function, None
    by_position = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    for one in solved:
        if one.kind is one.POSITIONAL_ONLY or (by_position and one.kind is not one.KEYWORD_ONLY):
            raise DefinitionError(
                f"{describe(function)}: beside '/' or '*args', the parameter '{one.name}' must be "
                "keyword-only"
            )
    names = {one.name for one in solved}
    rest = [
        # They are passed by name, as those among which they stand.
        one.replace(kind=one.KEYWORD_ONLY) if one.kind is one.POSITIONAL_OR_KEYWORD else one
        for one in parameters
        if one.name not in names
    ]
    if not any(one.annotation is Request for one in rest):
        rest.append(inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request))

    @wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop(_REQUEST, None)
        return function(*args, **kwargs)

    @wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop(_REQUEST, None)
        return await function(*args, **kwargs)

    own: Any = coroutine if is_coroutine_function(function) else plain
    own.__signature__ = signature.replace(parameters=sorted(rest, key=lambda one: one.kind))
    return own, _Dependencies(function, solved)


class _Dependencies:
    """Solves the dependencies of a function around each of its calls.

    Everything further in runs within them: checks, the cache, the handler, the encoding and the
    limits of its result. So what they refuse no cache gives away, and whatever fails the call they
    see. They are closed when the handler has ended, even if its client was answered before.
    """

    def __init__(self, function: Callable[..., Any], solved: list[inspect.Parameter]) -> None:
        async def endpoint(**values: Any) -> Response:
            await _current.get().proceed(values)
            return Response()

        endpoint.__signature__ = inspect.Signature(solved)  # type: ignore[attr-defined]
        try:
            route = APIRoute(
                "/", endpoint, response_model=None, dependency_overrides_provider=OVERRIDES
            )
        except (FastAPIError, AssertionError) as error:
            raise _unfit(function, solved, error) from None
        refuse_needs(function, route.dependant)
        self._endpoint = AsyncExitStackMiddleware(route.app)
        self.guards = _has_security(route.dependant)
        """Whether one of them refuses callers for who they are."""
        self._needs_http = not all(map(is_header_or_cookie, solved))
        self._step = Enter(self._enter, is_async=True)

    def flow(self, call: Call) -> Flow[Result]:
        result: Result = yield self._step
        return result

    async def _enter(self, call: Call, call_next: Callable[[], Awaitable[Result]]) -> Result:
        request = call.request
        if request is None and not self._needs_http:
            request = Request({"type": "http", "headers": [], "query_string": b"", "path": "/"})
        if not isinstance(request, Request):
            raise ToolError(
                "Depends(), Header() and Cookie() need a request of Starlette, which there is none "
                "of here"
            )
        return await _Solving(self._endpoint, request, call, call_next).run()


_OF_ANY_CLIENT: Final = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "connection", "host"),
        *("content-length", "content-type", "user-agent", "mcp-protocol-version", "mcp-session-id"),
        *("mcp-method", "mcp-name", "last-event-id"),
    }
)
"""Headers that clients send whoever calls: to need one of them refuses nobody."""


def _has_security(dependant: Any) -> bool:
    """Whether dependencies refuse callers for who they are, as far as their signatures tell.

    A security scheme of FastAPI (`HTTPBearer`, say) does, a `Security()` with scopes, and a header
    or a cookie that is required. One that has a default refuses nobody by itself, nor does a scheme
    with `auto_error=False`, unless there is a dependency around it that looks at what it returns.
    """
    return any(
        _guards(one) or bool(one.dependencies and _has_scheme(one)) or _has_security(one)
        for one in dependant.dependencies
    )


def _guards(dependant: Any) -> bool:
    if isinstance(dependant.call, SecurityBase):
        return getattr(dependant.call, "auto_error", True) is not False
    scopes = getattr(dependant, "own_oauth_scopes", None) or getattr(
        dependant, "security_scopes", None
    )
    return (
        bool(scopes)
        or any(any(_required_names(one)) for one in dependant.cookie_params)
        or any(
            name.lower() not in _OF_ANY_CLIENT
            for one in dependant.header_params
            for name in _required_names(one)
        )
    )


def _has_scheme(dependant: Any) -> bool:
    """Whether a dependency gets what a security scheme has found."""
    return any(isinstance(one.call, SecurityBase) for one in dependant.dependencies)


def _required_names(field: Any) -> Iterator[str]:
    """The headers or cookies of a parameter without which it refuses a request: those of a model,
    where it is one of several."""
    info = field.field_info
    model = info.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        if info.is_required():
            yield field.alias
        return
    hyphens = getattr(info, "convert_underscores", False)
    for name, one in model.model_fields.items():
        if one.is_required():
            # As FastAPI looks for it: an alias as it is, a name with hyphens.
            alias = one.validation_alias
            named = name.replace("_", "-") if hyphens else name
            yield alias if isinstance(alias, str) else named


def _unfit(
    function: Callable[..., Any], solved: list[inspect.Parameter], error: Exception
) -> DefinitionError:
    """What is wrong with dependencies that FastAPI does not take."""
    for dependency in _dependencies_of(solved, set()):
        for parameter in _parameters_of(dependency):
            named = (parameter.annotation, get_origin(parameter.annotation))
            if Context in named or SyncContext in named:
                return DefinitionError(
                    f"{describe(dependency)}, a dependency of {describe(function)}: its "
                    f"parameter '{parameter.name}' is a context, which the handler alone gets. "
                    "Take it there, or take 'request: Request' in the dependency"
                )
    return DefinitionError(
        f"{describe(function)}: its dependencies are none that FastAPI takes: "
        f"{str(error).partition(' If you are using')[0]}"
    )


def _dependencies_of(
    parameters: Iterable[inspect.Parameter], seen: set[Any]
) -> Iterator[Callable[..., Any]]:
    """The functions that parameters depend on, however deep."""
    for parameter in parameters:
        for mark in (parameter.default, *getattr(parameter.annotation, "__metadata__", ())):
            if not isinstance(mark, params.Depends):
                continue
            found = mark.dependency or parameter.annotation
            if callable(found) and found not in seen:
                seen.add(found)
                yield found
                yield from _dependencies_of(_parameters_of(found), seen)


def _parameters_of(dependency: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(signature_of(dependency).parameters.values())
    except DefinitionError:
        return []


def refuse_needs(function: Callable[..., Any], dependant: Any) -> None:
    """Refuse dependencies that need a part of a request which none for MCP has.

    Raises:
        DefinitionError: For a parameter of the query, the path or the body that has no default.
    """
    for one in dependant.dependencies:
        for kind, fields in (
            ("query", one.query_params),
            ("path", one.path_params),
            ("body", one.body_params),
        ):
            for field in fields:
                if field.field_info.is_required():
                    raise DefinitionError(
                        f"{describe(one.call)}, a dependency of {describe(function)}: its "
                        f"parameter '{field.name}' is taken from the {kind} of a request, and "
                        "those of MCP have none. Give it a default, take it from "
                        "'request: Request', or let it be an argument of the handler"
                    )
        refuse_needs(function, one)


class _Failed(Exception):
    """Tells dependencies that a call has failed, or runs again, though nothing was raised."""


class _Solving:
    """One call within its dependencies."""

    def __init__(
        self,
        endpoint: Any,
        request: Request,
        call: Call,
        call_next: Callable[[], Awaitable[Result]],
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._call = call
        self._call_next = call_next
        self._result: Result | None = None
        self._failure: BaseException | None = None
        self._is_answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        """The result of the call; raises what it raised, or what its dependencies did.

        If it fails before its handler has ended, as by its time limit, that is told at once: the
        dependencies last until the handler has ended.
        """
        task = keep(asyncio.create_task(self._solve()))
        try:
            told: list[asyncio.Future[Any]] = [task, self._is_answered]
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        if not task.done():
            task.add_done_callback(self._log)
            assert self._failure is not None, "only failures are told early"
            raise self._failure
        return task.result()

    async def proceed(self, values: Mapping[str, Any]) -> None:
        """Run all that is further in, with the solved dependencies."""
        tracker = self._call.tracker
        assert tracker is not None, "a call with policies tells when its handler has ended"
        self._call.kwargs = {**self._call.kwargs, **values}
        try:
            self._result = await self._call_next()
        except BaseException as error:
            self._failure = error
            if tracker.is_running and not isinstance(error, asyncio.CancelledError):
                self._is_answered.set_result(None)
            await ended(tracker)
            raise
        if self._result.failed:
            raise _Failed("The call failed")

    async def _solve(self) -> Result:
        _current.set(self)
        try:
            await self._serve()
        except _Failed:
            pass
        except FastAPIError:
            # A dependency has swallowed what the call raised: it failed all the same.
            if self._failure is None and self._result is None:
                raise
        except SystemExit as error:
            # Raised by a task, it would end the event loop.
            raise RuntimeError(f"{self._call.name} or a dependency has ended itself") from error
        except RequestValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
            )
            raise ToolError(f"The request lacks what this needs: {problems}") from error
        if self._failure is not None:
            raise self._failure
        assert self._result is not None, "a call that did not fail has a result"
        return self._result

    async def _serve(self) -> None:
        """Let FastAPI run the endpoint, for a request that is there already."""
        scope, receive, send = request_within(self._request)
        with overriding(self._request):
            await self._endpoint(scope, receive, send)

    def _log(self, task: asyncio.Task[Result]) -> None:
        """Tell of what went wrong after the client was answered."""
        error = None if task.cancelled() else task.exception()
        if error is not None and error is not self._failure:
            logger.error("The dependencies of %s failed", self._call.name, exc_info=error)


_current: ContextVar[_Solving] = ContextVar("solving")
"""The call that runs in this context."""
