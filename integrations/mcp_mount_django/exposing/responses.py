"""A view, called as a tool: the request that it gets, and its response as a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlencode

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404, HttpRequest
from django.shortcuts import resolve_url

from mcp_mount.features import ToolError
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.responses import value_of_response
from mcp_mount_django.paths import prefix_of

_READ: Final = ("_body", "_stream", "_read", "_post", "_files", "_encoding", "_upload")
"""How the names begin under which a request keeps what was read of it."""


def derived(
    request: HttpRequest,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    data: Any = None,
) -> HttpRequest:
    """A request of the same caller for a view: with a query, a form or JSON.

    path: of the view, with or without the prefix that the project is served below. What middleware
    has put on the request (user, session, language, …) is on this one, too.
    """
    body, content_type = b"", ""
    if form is not None:
        body = urlencode(_pairs(form), doseq=True).encode()
        content_type = "application/x-www-form-urlencoded"
    elif data is not None:
        body, content_type = json.dumps(data).encode(), "application/json"
    environ = {key: value for key, value in request.META.items() if isinstance(value, str)}
    prefix = prefix_of(request)
    environ |= {
        "REQUEST_METHOD": method,
        # With FORCE_SCRIPT_NAME Django takes that for the prefix, whatever stands here.
        "SCRIPT_NAME": _in_environ(prefix),
        "PATH_INFO": _in_environ(_below(prefix, path)),
        "QUERY_STRING": urlencode(_pairs(query or {}), doseq=True),
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "application/json, */*;q=0.1",
        "wsgi.url_scheme": request.scheme or "http",
        "wsgi.input": BytesIO(body),  # type: ignore[dict-item]
    }
    own: Any = WSGIRequest(environ)
    for name, value in vars(request).items():
        is_of_django = name in vars(own) or hasattr(WSGIRequest, name) or name.startswith(_READ)
        if not is_of_django:
            setattr(own, name, value)
    # Whoever sent the request this comes from has been admitted, CSRF token and all.
    own._dont_enforce_csrf_checks = True
    request_of_view: HttpRequest = own
    return request_of_view


def _below(prefix: str, path: str) -> str:
    """A path without the prefix that the project is served below."""
    return path[len(prefix) :] if path == prefix or path.startswith(f"{prefix}/") else path


def _in_environ(text: str) -> str:
    """A text as WSGI has it: its bytes, read as latin-1 (PEP 3333)."""
    return text.encode().decode("latin-1")


def _pairs(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in values.items()
        if value is not None
    }


def refusal(error: Exception) -> ToolError | None:
    """What a view says by an exception, which Django would answer; None for any other."""
    if isinstance(error, Http404):
        return ToolError(str(error) or "Not found")
    if isinstance(error, PermissionDenied):
        return ToolError(str(error) or "You may not do this")
    if isinstance(error, ValidationError):
        return ToolError("; ".join(error.messages))
    if isinstance(error, SuspiciousOperation):
        return ToolError("The request was refused")
    return None


def result_of(response: Any, limit: int | None) -> Any:
    """The value of a tool for the response of a view.

    Args:
        response: The view's.
        limit: How many bytes of it are collected; None for all.

    Raises:
        ToolError: For a response of failure, and one that is larger.
    """
    if callable(getattr(response, "render", None)) and not response.is_rendered:
        response = response.render()
    collected = ResponseBody(limit)
    try:
        if not response.streaming:
            collected.add(response.content)
        elif response.is_async:
            async_to_sync(_collect)(response, collected)
        else:
            collected.collect(response.streaming_content)
    finally:
        _close(response)
    return _value(response, collected.whole())


async def result_of_async(response: Any, limit: int | None) -> Any:
    """`result_of`, for the response of a coroutine view."""
    if not (response.streaming and response.is_async):
        return await sync_to_async(result_of)(response, limit)
    collected = ResponseBody(limit)
    try:
        await _collect(response, collected)
    finally:
        _close(response)
    return await sync_to_async(_value)(response, collected.whole())


async def _collect(response: Any, collected: ResponseBody) -> None:
    try:
        await collected.collect_async(response.streaming_content)
    finally:
        close = getattr(response._iterator, "aclose", None)
        if close is not None:
            await close()


def _close(response: Any) -> None:
    """End a response as a server does, but for the signal: the caller's request goes on."""
    for close in response._resource_closers:
        close()
    response._resource_closers.clear()


def _value(response: Any, body: bytes) -> Any:
    headers = {name.lower(): value for name, value in response.items()}
    login = resolve_url(settings.LOGIN_URL)
    return value_of_response(response.status_code, headers, body, login=[login], redirects=True)
