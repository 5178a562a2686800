"""Flask-WTF's `CSRFProtect(app)` in applications with a mounted server.

MCP clients have no form to read a token from, so the mount is exempt, and so are calls of exposed
views. Browsers, however, send a session cookie with requests from any page, so a request with a
session cookie is accepted only with its CSRF token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException

from mcp_mount.wire.errors import INVALID_REQUEST, ProtocolError
from mcp_mount_flask.first_request import at_first_request

_EXEMPT: Final = "mcp_mount_csrf_exempt"

CALL: Final = "mcp_mount.call"
"""The environ key that marks calls of exposed views. No client can set it."""


def exempt(app: Flask, *views: Any) -> None:
    """Exempt views from the protection, whether it is set up before or after them.

    Args:
        app: The application.
        views: The view functions.
    """
    app.extensions.setdefault(_EXEMPT, []).extend(views)
    at_first_request(app, _exempt_all)


def _exempt_all(app: Flask) -> None:
    csrf = app.extensions.get("csrf")
    if csrf is not None:
        for view in app.extensions[_EXEMPT]:
            csrf.exempt(f"{view.__module__}.{view.__name__}")


def check(app: Flask) -> None:
    """Check the CSRF token of the current request if it has a cookie that may log somebody in.

    Raises:
        ProtocolError: With status 403, if the token is missing or wrong.
    """
    if not applies(app):
        return
    try:
        app.extensions["csrf"].protect()
    except HTTPException as error:
        raise ProtocolError(INVALID_REQUEST, f"CSRF: {error.description}", status=403) from None


def applies(app: Flask) -> bool:
    """Whether the current request needs a CSRF token.

    Args:
        app: The application.
    """
    return (
        "csrf" in app.extensions
        and app.config.get("WTF_CSRF_ENABLED", True)
        and _has_login_cookie(app)
    )


def pass_calls(app: Flask) -> None:
    """Exempt calls of exposed views that have no credentials that a browser sends by itself.

    These are basic authentication and any cookie, because extensions may log in with cookies of
    their own.

    Flask-WTF can exempt views, not requests, so `protect` is replaced: its before_request function
    calls it in versions 1.0 to 1.3, the last of them with an option.
    """
    csrf = app.extensions.get("csrf")
    if csrf is None or isinstance(csrf.__dict__.get("protect"), _Protect):
        return
    csrf.protect = _Protect(csrf.protect)


class _Protect:
    """Checks the token of the current request, unless it is a call that no browser could forge."""

    def __init__(self, protect: Callable[..., None]) -> None:
        self._protect = protect

    def __call__(self, **options: Any) -> None:
        if CALL in request.environ and not request.cookies and not _is_basic():
            # The forms of the view check this.
            g.csrf_valid = True
        else:
            self._protect(**options)


def _is_basic() -> bool:
    return request.headers.get("authorization", "").lower().startswith("basic ")


def _has_login_cookie(app: Flask) -> bool:
    names = (
        app.config["SESSION_COOKIE_NAME"],
        app.config.get("REMEMBER_COOKIE_NAME", "remember_token"),
    )
    return any(name in request.cookies for name in names)
