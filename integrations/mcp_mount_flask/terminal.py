"""Requests from the terminal: they pass the application's before_request functions as requests over
HTTP do, with the user that is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException

from mcp_mount.cli.console import CommandError
from mcp_mount.protocol import Request
from mcp_mount.wire.messages import JSON
from mcp_mount_flask.exceptions import words_of
from mcp_mount_flask.requests import read_request
from mcp_mount_flask.users import note_user


@contextmanager
def request_of(app: Flask, path: str, user: str | None) -> Iterator[Request]:
    """Enter the context of a request to the server at `path`.

    Args:
        app: The application.
        path: The mount point.
        user: The id of a user of Flask-Login, who is logged in; None for an anonymous request.

    Raises:
        CommandError: If there is no such user, or a before_request function answers instead of the
            server.
    """
    headers = {"host": served_host(app)}
    with app.test_request_context(path, method="POST", content_type=JSON, headers=headers):
        if user is not None:
            _log_in(app, user)
        try:
            answer = app.preprocess_request()
            refused = None if answer is None else words_of(app, app.make_response(answer))
        except HTTPException as error:
            refused = words_of(app, error.get_response())
        if refused is not None:
            raise CommandError(f"A before_request function of the application answers: {refused}")
        yield read_request(path)


def served_host(app: Flask) -> str:
    """Return a host name that the application serves."""
    trusted = app.config.get("TRUSTED_HOSTS") or ["localhost"]
    name: str = app.config["SERVER_NAME"] or trusted[0].removeprefix(".")
    return name


def _log_in(app: Flask, user: str) -> None:
    manager: Any = getattr(app, "login_manager", None)
    if manager is None:
        raise CommandError("--user needs Flask-Login")
    found = manager._user_callback(user)
    if found is None:
        raise CommandError(f"There is no user {user!r}")
    from flask_login import login_user

    if not login_user(found):
        raise CommandError(f"The user {user!r} is not active")
    # Exposed routes are called by separate requests, which have no cookie here.
    note_user(None, found)
