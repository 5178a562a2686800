"""A view, called as a tool: the request that it gets, and its response as a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.message import Message
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404, HttpRequest
from django.shortcuts import resolve_url
from django.utils.html import strip_tags

from mcp_mount.features import Audio, File, Image, ToolError

_MOST_TEXT: Final = 2000
"""How much of an error page is told, in characters."""

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

    What middleware has put on the request (user, session, language, …) is on this one, too.
    """
    body, content_type = b"", ""
    if form is not None:
        body = urlencode(_pairs(form), doseq=True).encode()
        content_type = "application/x-www-form-urlencoded"
    elif data is not None:
        body, content_type = json.dumps(data).encode(), "application/json"
    environ = {key: value for key, value in request.META.items() if isinstance(value, str)}
    environ |= {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
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


def result_of(response: Any) -> Any:
    """The value of a tool for the response of a view. Raises ToolError for one of failure."""
    if callable(getattr(response, "render", None)) and not response.is_rendered:
        response = response.render()
    content = b"".join(response.streaming_content) if response.streaming else response.content
    kind, _, _ = response.get("content-type", "").partition(";")
    status = response.status_code
    if 300 <= status < 400:
        location = response.get("location", "")
        if location.partition("?")[0] == resolve_url(settings.LOGIN_URL):
            raise ToolError("You must log in for this")
        return f"Done; see {location}"
    if kind.strip().endswith("json"):
        value = json.loads(content or b"null")
        if status >= 400:
            raise ToolError(_problems(value))
        return value
    if kind.startswith("text/") or not content:
        text = content.decode(response.charset or "utf-8", "replace")
        if status >= 400:
            words = " ".join(strip_tags(text).split())[:_MOST_TEXT]
            raise ToolError(words or f"The view answers {status}")
        return text or "Done"
    if status >= 400:
        raise ToolError(f"The view answers {status}")
    if kind.startswith("image/"):
        return Image(content, format=kind)
    if kind.startswith("audio/"):
        return Audio(content, format=kind)
    disposition = Message()
    disposition["content-disposition"] = response.get("content-disposition", "")
    return File(data=content, name=disposition.get_filename(), format=kind or None)


def _problems(value: Any) -> str:
    """What REST framework says of bad input, as lines."""
    if isinstance(value, dict):
        lines = [
            _problems(item) if name in ("detail", "non_field_errors") else f"{name}: {_flat(item)}"
            for name, item in value.items()
        ]
        return "\n".join(lines)
    return _flat(value)


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_flat, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
