"""Flask-WTF's protection of the whole application (`CSRFProtect(app)`), where a server is mounted.

MCP clients have no form to take a token from, so the mount is exempt, and so are the calls that it
makes of exposed views. But a browser sends a session cookie by itself, whoever wrote the page: a
request with one is let in with its CSRF token only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException

from mcp_mount.wire.errors import INVALID_REQUEST, ProtocolError

_EXEMPT: Final = "mcp_mount_csrf_exempt"

CALL: Final = "mcp_mount.call"
"""The key of an environment that marks a call of an exposed view. No client can set it."""


def exempt(app: Flask, *views: Any) -> None:
    """Let the protection pass requests to views, whether it is set up before or after them."""
    app.extensions.setdefault(_EXEMPT, []).extend(views)

    def exempt_all(endpoint: str | None = None, values: Any = None) -> None:
        csrf = app.extensions.get("csrf")
        waiting = app.extensions[_EXEMPT]
        if csrf is not None and waiting:
            for view in waiting:
                csrf.exempt(f"{view.__module__}.{view.__name__}")
            waiting.clear()

    exempt_all()
    if app.extensions[_EXEMPT]:
        # Before all before_request functions, of which the protection is one.
        app.url_value_preprocessors.setdefault(None, []).append(exempt_all)


def check(app: Flask) -> None:
    """Check the CSRF token of the current request, if it brings a cookie that may log somebody in.

    Raises:
        ProtocolError: 403, where the token is missing or wrong.
    """
    csrf = app.extensions.get("csrf")
    if csrf is None or not app.config.get("WTF_CSRF_ENABLED", True) or not _has_login_cookie(app):
        return
    try:
        csrf.protect()
    except HTTPException as error:
        raise ProtocolError(INVALID_REQUEST, f"CSRF: {error.description}", status=403) from None


def pass_calls(app: Flask) -> None:
    """Let the protection pass calls of exposed views without what a browser sends by itself.

    That is any cookie, since extensions log in by cookies of their own, and basic authentication.

    Flask-WTF knows exempt views, not exempt requests: `protect` is what its before_request function
    calls in versions 1.0 to 1.3; the last one with an option.
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
            # Forms of the view ask for it.
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
