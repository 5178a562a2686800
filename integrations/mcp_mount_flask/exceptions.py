"""What clients get for Flask's own exceptions and responses, and who is notified of failures."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final, cast

from flask import Flask, got_request_exception, has_request_context, request, session
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from mcp_mount import ResourceNotFoundError, ToolError
from mcp_mount.calls.exception_hooks import ExceptionHooks, FailedCall
from mcp_mount.openapi.responses import value_of_response
from mcp_mount.wire.errors import CallRejected
from mcp_mount_flask.logins import login_paths

_TRANSLATED: Final = "__mcp_mount_translated__"
"""The attribute of an exception that holds the request for which the application's error handler
has answered it, and the result.
"""

_KNOWS_BLUEPRINTS: Final = "blueprints" not in Flask._find_error_handler.__code__.co_names
"""Whether `_find_error_handler` takes the blueprints of the request (Flask 3). Flask 2.3 looks them
up itself.
"""

_WORDS: Final = {401: "Authentication required", 403: "Permission denied"}
"""Messages for exceptions without a description of their own. Werkzeug's default descriptions
address people who have typed a URL.
"""

_OF_A_REFUSAL: Final = {"_flashes", "_id", "next"}
"""Session keys that Flask-Login sets when it redirects to the login."""


def exception_hooks(app: Flask, *, has_request: bool) -> ExceptionHooks:
    """Return how a server handles the exceptions of its handlers in a Flask application.

    Args:
        app: The application.
        has_request: Whether the server's requests are requests of the application, so that its
            error handlers apply.
    """

    def translate(error: Exception) -> Exception | None:
        if isinstance(error, HTTPException):
            return _of_http_exception(app, error)
        return _handled(app, error) if has_request else None

    def report(call: FailedCall, error: BaseException) -> None:
        ensure_sync = app.ensure_sync
        got_request_exception.send(app, _async_wrapper=ensure_sync, exception=error)
        if has_request and has_request_context() and isinstance(error, Exception):
            # As in `Flask.handle_exception`: the handler may roll back, or notify somebody. The
            # client gets our response.
            failure = InternalServerError(original_exception=error)
            handler = _handler_of(app, failure)
            if handler is not None:
                ensure_sync(handler)(failure)

    return ExceptionHooks(
        translate, report, responses=Response, value_of=lambda value: value_of(app, value)
    )


def value_of(app: Flask, response: Response) -> Any:
    """Return the value of a response that a handler, or a decorator of it, has returned.

    Args:
        app: The application.
        response: The response.

    Raises:
        ToolError: If the response has an error status or redirects to the login.
    """
    headers = {name.lower(): value for name, value in response.headers.items()}
    try:
        return value_of_response(
            response.status_code, headers, response.get_data(), login=login_paths(app)
        )
    except ToolError:
        _begin_no_session(app)
        raise


def _begin_no_session(app: Flask) -> None:
    """Remove what Flask-Login flashes for the login page, so that a refusal sets no session cookie.

    A client that kept the cookie would need a CSRF token from then on (mcp_mount_flask.csrf).
    """
    if not has_request_context() or app.config["SESSION_COOKIE_NAME"] in request.cookies:
        return
    # An empty session may belong to an application without a secret key and then refuses changes.
    if session and session.keys() <= _OF_A_REFUSAL:
        session.clear()
        session.modified = False


def words_of(app: Flask, response: Any) -> str:
    """Return the text of a response.

    Args:
        app: The application.
        response: The response.
    """
    try:
        return str(value_of(app, response))
    except ToolError as refused:
        return str(refused)


def _handler_of(app: Flask, error: Exception) -> Any:
    """Return the application's error handler for an exception, or None."""
    find: Any = app._find_error_handler
    return find(error, request.blueprints) if _KNOWS_BLUEPRINTS else find(error)


def _of_http_exception(app: Flask, error: HTTPException) -> Exception | None:
    if error.response is not None:
        return ToolError(words_of(app, error.get_response()))
    status = error.code or 500
    own: str | None = vars(error).get("description")
    if status == 500 and not own:
        return None
    words = str(own or _WORDS.get(status) or error.name)
    if status in (404, 410):
        return ResourceNotFoundError(words)
    if status in (401, 403, 429, 503):
        return CallRejected(words, status=status, retry_after=_seconds(error))
    return ToolError(words)


def _seconds(error: HTTPException) -> float | None:
    """Return the seconds after which the client may retry (RFC 9110, section 10.2.3)."""
    when: Any = getattr(error, "retry_after", None)
    if isinstance(when, datetime):
        now = datetime.now(when.tzinfo or timezone.utc)
        return max(0.0, (when.replace(tzinfo=now.tzinfo) - now).total_seconds())
    return float(when) if isinstance(when, int | float) else None


def _handled(app: Flask, error: Exception) -> Exception | None:
    """Return what the application's error handler makes of an exception.

    Each exception is handled once, although telemetry and the log need the result as well.

    Returns:
        The error that the model reads; None if there is no handler, or if it answers with a status
        of 500 or more.
    """
    if not has_request_context() or isinstance(error, ToolError):
        return None
    # The same exception object may be raised for several callers.
    current = request._get_current_object()  # type: ignore[attr-defined]
    asked_for, known = vars(error).get(_TRANSLATED, (None, None))
    if asked_for is current:
        return cast("Exception | None", known)
    handler = _handler_of(app, error)
    ours: Exception | None = None
    if handler is not None:
        response = app.make_response(app.ensure_sync(handler)(error))
        if response.status_code < 500:
            ours = ToolError(words_of(app, response))
    vars(error)[_TRANSLATED] = (current, ours)
    return ours
