"""A view, called as a tool: the request that it gets, and its response as a result."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlencode

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import ResolverMatch

from mcp_mount.features import ToolError
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.responses import MAX_TEXT, Answer
from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount_django.exposing.form_errors import form_problems
from mcp_mount_django.exposing.messages import collect_messages
from mcp_mount_django.paths import prefix_of

_READ: Final = ("_body", "_stream", "_read", "_post", "_files", "_encoding", "_upload")
"""The prefix of the attributes in which a request caches what was read of it."""


_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_PAGES: Final = ("text/html", "application/xhtml+xml")

_PREFIXED: Final = ("SCRIPT_URL", "REDIRECT_URL")
"""Headers with whole paths, from which Django would derive the prefix for this path."""


def derived(
    request: HttpRequest,
    method: str,
    path: str,
    *,
    query: str = "",
    body: bytes = b"",
    content_type: str = "",
    headers: Mapping[str, str] | None = None,
    match: ResolverMatch | None = None,
) -> HttpRequest:
    """Return a request to a view by the same caller.

    It keeps what middleware has set on the request (user, session, language, …).

    Args:
        request: The MCP request.
        method: The HTTP method.
        path: The path below the project's prefix (`SCRIPT_NAME`), decoded.
        query: The query string, encoded.
        body: The body.
        content_type: Its media type.
        headers: Further headers, by their names in lower case.
        match: What the project's URLs resolve the path to.
    """
    environ = {key: value for key, value in request.META.items() if isinstance(value, str)}
    for key in _PREFIXED:
        environ.pop(key, None)
    environ |= {
        "REQUEST_METHOD": method,
        # If FORCE_SCRIPT_NAME is set, Django uses it as the prefix and ignores this value.
        "SCRIPT_NAME": _in_environ(prefix_of(request)),
        "PATH_INFO": _in_environ(path),
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "application/json, */*;q=0.1",
        "wsgi.url_scheme": request.scheme or "http",
        "wsgi.input": BytesIO(body),  # type: ignore[dict-item]
    }
    for name, value in (headers or {}).items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    own: Any = WSGIRequest(environ)
    for name, value in vars(request).items():
        is_of_django = name in vars(own) or hasattr(WSGIRequest, name) or name.startswith(_READ)
        if not is_of_django:
            setattr(own, name, value)
    own.resolver_match = match
    collect_messages(own)
    # The MCP request has been authenticated, including its CSRF token.
    own._dont_enforce_csrf_checks = True
    request_of_view: HttpRequest = own
    return request_of_view


def _in_environ(text: str) -> str:
    """Return a text in the form of WSGI: its bytes, decoded as latin-1 (PEP 3333)."""
    return text.encode().decode("latin-1")


def encoded_pairs(values: Mapping[str, Any], what: str) -> str:
    """Return arguments as the pairs of a query string or a form.

    Args:
        values: The arguments.
        what: What carries them, for the error.

    Raises:
        InvalidArguments: If an argument is an object, which neither can carry.
    """
    for name, value in values.items():
        several = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, Mapping | list | tuple) for one in several):
            raise InvalidArguments(f"{name}: {what} can carry only single values and lists of them")
    pairs = {
        name: [_text(one) for one in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in values.items()
        if value is not None
    }
    return urlencode(pairs, doseq=True)


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def answer_of(response: Any, collected: ResponseBody, method: str = "GET") -> Answer:
    """Collect the response of a view.

    Args:
        response: The view's response.
        collected: Collects the body, up to a limit.
        method: The method of the request.

    Raises:
        ResponseTooLarge: If the response is larger than the limit.
        ToolError: If it is the page of a form that the view has rejected.
    """
    if callable(getattr(response, "render", None)) and not response.is_rendered:
        response = response.render()
    try:
        if not response.streaming:
            collected.add(response.content)
        elif response.is_async:
            async_to_sync(_collect)(response, collected)
        else:
            collected.collect(response.streaming_content)
    finally:
        _close(response)
    return _answer(response, collected.whole(), method)


async def answer_of_async(response: Any, collected: ResponseBody, method: str = "GET") -> Answer:
    """Collect the response of a coroutine view.

    Args:
        response: The view's response.
        collected: Collects the body, up to a limit.
        method: The method of the request.

    Raises:
        ResponseTooLarge: If the response is larger than the limit.
        ToolError: If it is the page of a form that the view has rejected.
    """
    if not (response.streaming and response.is_async):
        return await sync_to_async(answer_of)(response, collected, method)
    try:
        await _collect(response, collected)
    finally:
        _close(response)
    return await sync_to_async(_answer)(response, collected.whole(), method)


async def _collect(response: Any, collected: ResponseBody) -> None:
    try:
        await collected.collect_async(response.streaming_content)
    finally:
        close = getattr(response._iterator, "aclose", None)
        if close is not None:
            await close()


def _close(response: Any) -> None:
    """Close a response as a server does, but without the signal, because the caller's request
    continues.
    """
    for close in response._resource_closers:
        close()
    response._resource_closers.clear()


def login_paths() -> list[str]:
    """Return the paths that the project redirects unauthenticated callers to."""
    return [resolve_url(settings.LOGIN_URL)]


def _answer(response: Any, body: bytes, method: str) -> Answer:
    headers = {name.lower(): value for name, value in response.items()}
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method not in _SAFE and response.status_code == 200 and kind in _PAGES:
        # An accepted form redirects; a rejected one responds with its page and the errors.
        problems = form_problems(response, body.decode(response.charset, "replace"))
        if problems:
            raise ToolError("\n".join(problems)[:MAX_TEXT])
    return Answer(response.status_code, headers, body)
