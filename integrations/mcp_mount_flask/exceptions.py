"""What Flask's own exceptions and responses are to a client, and who hears of failures."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final, cast

from flask import Flask, got_request_exception, has_request_context, request, session
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from mcp_mount import ResourceNotFoundError, ToolError
from mcp_mount.calls.exception_hooks import ExceptionHooks, FailedCall
from mcp_mount.openapi.responses import value_of_response
from mcp_mount.wire.errors import Refusal
from mcp_mount_flask.logins import login_paths

_TRANSLATED: Final = "__mcp_mount_translated__"
"""The attribute of an exception that the application's own handler has answered, and for which
request."""

_KNOWS_BLUEPRINTS: Final = "blueprints" not in Flask._find_error_handler.__code__.co_names
"""Whether an application is told the blueprints of a request (Flask 3); Flask 2.3 looks itself."""

_WORDS: Final = {401: "Authentication required", 403: "Permission denied"}
"""What is said where an exception has no words of its own: werkzeug's are for people who have
typed a URL."""

_OF_A_REFUSAL: Final = {"_flashes", "_id", "next"}
"""What Flask-Login writes to the session of those whom it sends to the login."""


def exception_hooks(app: Flask, *, has_request: bool) -> ExceptionHooks:
    """What a server does with the exceptions of its handlers in a Flask application.

    Args:
        app: The application.
        has_request: Whether the server's requests are requests of the application, so that its
            error handlers are in force.
    """

    def translate(error: Exception) -> Exception | None:
        if isinstance(error, HTTPException):
            return _of_http_exception(app, error)
        return _handled(app, error) if has_request else None

    def report(call: FailedCall, error: BaseException) -> None:
        ensure_sync = app.ensure_sync
        got_request_exception.send(app, _async_wrapper=ensure_sync, exception=error)
        if has_request and has_request_context() and isinstance(error, Exception):
            # As `Flask.handle_exception`: it may roll back, or tell somebody. The client gets ours.
            failure = InternalServerError(original_exception=error)
            handler = _handler_of(app, failure)
            if handler is not None:
                ensure_sync(handler)(failure)

    return ExceptionHooks(
        translate, report, responses=Response, value_of=lambda value: value_of(app, value)
    )


def value_of(app: Flask, response: Response) -> Any:
    """The value of a response that a handler, or a decorator of it, has returned.

    Raises:
        ToolError: For one that refuses: a status of failure, a redirect to the login.
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
    """Let a refusal set no cookie: Flask-Login flashes its message for the page of the login.

    A client that keeps the cookie would need a CSRF token from then on (mcp_mount_flask.csrf).
    """
    if not has_request_context() or app.config["SESSION_COOKIE_NAME"] in request.cookies:
        return
    # An empty session may be that of an application without a key, which refuses to be changed.
    if session and session.keys() <= _OF_A_REFUSAL:
        session.clear()
        session.modified = False


def words_of(app: Flask, response: Any) -> str:
    """What a response says, of a failure or not."""
    try:
        return str(value_of(app, response))
    except ToolError as refused:
        return str(refused)


def _handler_of(app: Flask, error: Exception) -> Any:
    """The application's handler of an exception; None if there is none."""
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
        return Refusal(words, status=status, retry_after=_seconds(error))
    return ToolError(words)


def _seconds(error: HTTPException) -> float | None:
    """In how many seconds one may come back (RFC 9110, section 10.2.3)."""
    when: Any = getattr(error, "retry_after", None)
    if isinstance(when, datetime):
        now = datetime.now(when.tzinfo or timezone.utc)
        return max(0.0, (when.replace(tzinfo=now.tzinfo) - now).total_seconds())
    return float(when) if isinstance(when, int | float) else None


def _handled(app: Flask, error: Exception) -> Exception | None:
    """What the application's own error handler says of an exception; None where it has none, or
    one that takes it for a failure of the server's.

    Each is asked once: telemetry and the log want to know as well.
    """
    if not has_request_context() or isinstance(error, ToolError):
        return None
    # An exception that is made once may be raised for several callers.
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
