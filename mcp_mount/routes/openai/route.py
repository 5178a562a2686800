"""The kind of route that answers OpenAI's clients."""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import fastapi.routing
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mcp_mount.features import Registry
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.routes.errors import answer_unfit_openai, failed, unfit
from mcp_mount.routes.gate import FORM, Guard, ReadRequest, gate, gated_body, usual_body_limit
from mcp_mount.routes.parts import ServerParts, parts_of, registry_of
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import ROOT, read_headers
from mcp_mount.transports.short_ways import DirectRequests, ShortWay
from mcp_mount.wire.encoding import may_not_be_finite, refuse_not_finite

MakeDirect: TypeAlias = Callable[[ServerParts], DirectRequests]
"""Makes what answers the direct requests to a route, of the parts of a server."""


class OpenAIRoute(APIRoute):
    """A route for OpenAI's clients: its body has a limit, and whatever refuses a request does so in
    OpenAI's form.

    Attributes:
        registry: That of its router, for a router that no server includes.
        direct: Answers the direct requests to it, made of the parts of a server; None without such.
    """

    registry: Registry
    direct: MakeDirect | None = None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        short = _ShortWay.of(self)

        async def answer(request: Request) -> Response:
            if short is not None and not short.is_overridden:
                short.note(request)
                return await _answered(request, self.registry, short.answer)
            return await _answered(request, self.registry, handle)

        return answer


def route_class_of(registry: Registry, direct: MakeDirect | None = None) -> type[OpenAIRoute]:
    """The class of the routes of a router: FastAPI makes copies of routes by their class.

    Args:
        registry: That of the router.
        direct: Makes what answers their direct requests.
    """
    return type("OpenAIRoute", (OpenAIRoute,), {"registry": registry, "direct": direct})


async def _answered(
    request: Request,
    own: Registry,
    answer: Callable[[ReadRequest], Awaitable[Response]],
    unchecked: ProtocolRequest | None = None,
) -> Response:
    """Answer a request, or refuse it in OpenAI's form.

    Args:
        request: The request.
        own: The registry of the router.
        answer: Answers it, or raises what refuses it.
        unchecked: The request as the protocol knows it, if it has been read.
    """
    try:
        headers = read_headers(request.scope) if unchecked is None else unchecked.headers
        limit = usual_body_limit(request)
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > limit:
            # The model that it is for, which only the body tells, may take more than others.
            limit = registry_of(request, own).largest_body(limit)
        body = await gated_body(request, limit, headers)
        if may_not_be_finite(body) and FORM not in headers.get("content-type", "").lower():
            _refuse_no_numbers(body)
        return await answer(ReadRequest(request, body, unchecked))
    except RequestValidationError as error:
        # The first part of each place is "body".
        told = [{**one, "loc": one["loc"][1:]} for one in error.errors()]
        return answer_unfit_openai(told)
    except ValidationError as error:
        # It fits the form of its route, and not that of what the models take.
        return answer_unfit_openai(error.errors(include_url=False))
    except HTTPException as error:
        return failed(error, "The request")


def _refuse_no_numbers(body: bytes) -> None:
    """Refuse NaN and infinities, which pydantic and FastAPI read, also where a number is too large:
    a model would be asked, and its answer, which repeats parts of the request, could not be
    written."""
    try:
        refuse_not_finite(body)
    except ValueError as error:
        raise unfit("JSON", str(error)) from None


class _ShortWay:
    """The way to an endpoint that takes a body and the request, and has no dependencies but ours.

    FastAPI takes ten times as long for it as the body's own model.
    """

    def __init__(
        self,
        route: Any,
        endpoint: Any,
        body: type[BaseModel],
        checks: list[Any],
        registry: Registry,
        direct: MakeDirect | None,
    ) -> None:
        self._registry = registry
        self._overrides = route.dependency_overrides_provider
        self._endpoint: Callable[[Any, Request], Awaitable[Response]] = endpoint
        self._validate = body.model_validate_json
        self._checks = checks
        # Rules of the router are asked on the long way.
        self._direct = direct if all(one is gate for one in checks) else None

    @classmethod
    def of(cls, route: OpenAIRoute) -> _ShortWay | None:
        """The short way of a route; None if it has none."""
        own = _included(route)
        if own is None:
            return None
        dependant = own.dependant
        checks = [one.call for one in dependant.dependencies]
        others = ("path_params", "query_params", "header_params", "cookie_params")
        if (
            len(dependant.body_params) != 1
            or any(getattr(dependant, name) for name in others)
            or not all(one is gate or isinstance(one, Guard) for one in checks)
        ):
            return None
        hints = typing.get_type_hints(route.endpoint)
        body = hints[dependant.body_params[0].name]
        if not (isinstance(body, type) and issubclass(body, BaseModel)):
            return None
        if hints.get("return") is not Response:
            # FastAPI makes a response of it.
            return None
        return cls(own, route.endpoint, body, checks, route.registry, route.direct)

    @property
    def is_overridden(self) -> bool:
        """Whether a test has put other dependencies in place of some."""
        return bool(getattr(self._overrides, "dependency_overrides", None))

    def note(self, request: Request) -> None:
        """Have the server lead further requests to this path here by itself, past FastAPI."""
        scope = request.scope
        parts = parts_of(request)
        path = route_path(scope)
        if parts is None or scope.get("path_params") or path in parts.short_ways:
            return
        # Within a mount there may be middleware.
        if scope.get(ROOT) == scope.get("root_path", ""):
            direct = None if self._direct is None else self._direct(parts)
            parts.short_ways[path] = ShortWay(self.respond, direct)

    async def respond(
        self, unchecked: ProtocolRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request that has come past FastAPI.

        Args:
            unchecked: The request as the protocol knows it.
            scope: Of the request.
            receive: ASGI's.
            send: ASGI's.
        """
        request = Request(scope, receive, send)
        response = await _answered(request, self._registry, self.answer, unchecked)
        await response(scope, receive, send)

    async def answer(self, request: ReadRequest) -> Response:
        """Answer a request. Raises what refuses it."""
        for check in self._checks:
            await check(request)
        return await self._endpoint(self._validate(await request.body()), request)


def _included(route: APIRoute) -> Any:
    """A route as it is included where its handler is made for: with the dependencies of all that
    include it. None if that is not known."""
    # Private names of FastAPI (0.137 to 0.165): it shows nowhere else which dependencies those that
    # include a router add to its routes. tests/routes/test_fastapi_names.py notices a change.
    if not hasattr(fastapi.routing, "_IncludedRouter"):
        # Before FastAPI 0.137 it was copied.
        return route
    context = getattr(fastapi.routing, "_effective_route_context_var", None)
    if context is None:
        return None
    included = context.get()
    return included if included is not None and included.original_route is route else route
