"""Calls of endpoints of Django REST framework. Each passes through its own view, with its
permissions, throttles, filters and pagination.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.targets import Target
from mcp_mount_django.exposing.captures import CapturedArguments
from mcp_mount_django.exposing.parameters import pagination_of
from mcp_mount_django.exposing.responses import answer_of, derived
from mcp_mount_django.exposing.rest_endpoints import Endpoint
from mcp_mount_django.exposing.rest_options import EndpointOptions
from mcp_mount_django.exposing.view_urls import Places
from mcp_mount_django.users import caller_of


def function_of(endpoint: Endpoint, options: EndpointOptions, target: Target) -> Callable[..., Any]:
    """Return the function that calls an endpoint.

    Args:
        endpoint: The endpoint.
        options: What the user has declared about it.
        target: Makes its request from the arguments, and the result from its response.
    """
    views = _Views(endpoint, pagination_of(endpoint, options.page_size))
    captures = CapturedArguments(endpoint.kind, endpoint.url)
    places = Places(
        endpoint.kind,
        endpoint.method,
        [*endpoint.url, *endpoint.fixed],
        action=endpoint.action,
        route=endpoint.route,
    )

    def function(request: HttpRequest, arguments: Mapping[str, Any]) -> Any:
        # Strings, as the patterns of routers pass them.
        own = {name: str(value) for name, value in captures.of(arguments).items()}
        sent = target.request(arguments)
        place = places.of(request, {**endpoint.fixed, **own})
        inner: Any = derived(
            request,
            endpoint.method.upper(),
            place.path,
            query=urlencode(sent.query),
            body=sent.body or b"",
            content_type="" if sent.body is None else sent.content_type,
            headers=sent.headers,
            match=place.match,
        )
        if caller_of(request) is not None:
            # The caller is the one that the server has authenticated; the view may authenticate
            # others.
            inner._force_auth_user = request.user
            inner._force_auth_token = getattr(request, "auth", None)
        view = views.of(place.view)
        response = options.middleware.call(inner, view, (), place.match.kwargs)
        return target.value(answer_of(response, ResponseBody(target.limit())), place.path)

    function.__name__ = function.__qualname__ = endpoint.tool
    return function


class _Views:
    """The callable for an endpoint: that of the project's URLs, with its decorators. If pagination
    is to be added, one of our own replaces a view without decorators.
    """

    def __init__(self, endpoint: Endpoint, pages: Mapping[str, Any]) -> None:
        self._endpoint = endpoint
        self._pages = pages

    @cached_property
    def _own(self) -> Callable[..., Any]:
        return self._endpoint.view(**self._pages)

    def of(self, routed: Callable[..., Any] | None) -> Callable[..., Any]:
        """Return the view to call.

        Args:
            routed: The view of the project's URLs.
        """
        if routed is None or (self._pages and _is_same_code(routed, self._own)):
            return self._own
        return routed


def _is_same_code(one: Any, other: Any) -> bool:
    """Whether two views are made by the same functions, so that neither has further decorators."""
    codes = [
        (
            getattr(view, "__code__", None),
            getattr(getattr(view, "__wrapped__", None), "__code__", None),
        )
        for view in (one, other)
    ]
    return codes[0] == codes[1]
