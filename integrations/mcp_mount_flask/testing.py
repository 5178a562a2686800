"""A client for tests of a Flask application, which logs in as a user of Flask-Login.

def test_a_clerk_sees_the_stock(app, clerk):
    with Client(app, user=clerk) as client:
        assert client.call_tool("stock", {"sku": "TEA"}).data == 3

Its requests pass through the application as requests over HTTP do: through WSGI middleware,
before_request functions, and Flask-WTF's CSRF protection, for which the client has a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from flask import Flask
from flask import session as request_session
from typing_extensions import Unpack

import mcp_mount.testing
from mcp_mount.testing import ClientOptions
from mcp_mount_flask.terminal import served_host

__all__ = ["Client"]


class Client(mcp_mount.testing.Client):
    """A `mcp_mount.testing.Client` of a Flask application, on the thread of the test.

    Args:
        app: The application.
        user: The user who is logged in, an object of Flask-Login.
        session: Further contents of the session, for applications with a login of their own.
        headers: Headers of each request.
        options: See `mcp_mount.testing.ClientOptions`.

    Raises:
        TypeError: If `user` is a name.
        RuntimeError: If the application keeps no session.
    """

    def __init__(
        self,
        app: Flask,
        *,
        user: Any = None,
        session: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        own = {"host": served_host(app)}
        if user is not None or session:
            own |= _headers_of(app, user, session or {})
        super().__init__(app, headers={**own, **(headers or {})}, **options)


def _headers_of(app: Flask, user: Any, more: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a browser that has a session."""
    if isinstance(user, str):
        raise TypeError(f"user= must be a user of the application, not the name {user!r}")
    browser = app.test_client()
    headers: dict[str, str] = {}
    host = served_host(app)
    with browser.session_transaction(base_url=f"http://{host}") as session:
        session.update(more)
        if user is not None:
            # As `login_user` does.
            session.update(_user_id=user.get_id(), _fresh=True)
        if "csrf" in app.extensions:
            headers["x-csrftoken"] = _token(app, session)
    name = app.config["SESSION_COOKIE_NAME"]
    cookie = browser.get_cookie(name, domain=host.partition(":")[0])
    if cookie is None:
        raise RuntimeError("The application keeps no session: set its SECRET_KEY")
    return {**headers, "cookie": f"{name}={cookie.value}"}


def _token(app: Flask, session: Any) -> str:
    generate_csrf: Any = import_module("flask_wtf.csrf").generate_csrf

    with app.test_request_context(headers={"host": served_host(app)}):
        token = str(generate_csrf())
        field = app.config["WTF_CSRF_FIELD_NAME"]
        session[field] = request_session[field]
    return token
