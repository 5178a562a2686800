"""Signing in with the accounts of a Flask application: Flask-Login's users, its own templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, render_template, request, url_for
from jinja2 import TemplateNotFound
from werkzeug.routing import BuildError

from mcp_mount.auth.authorization.accounts import Accounts, Person
from mcp_mount.auth.users import is_active
from mcp_mount.base import MCPServer
from mcp_mount.protocol import Reply
from mcp_mount.routes.signing_in import respond, server_metadata_reply, too_large
from mcp_mount.transports.driving import follow
from mcp_mount.wire.messages import Request
from mcp_mount.wire.tokens import AccessToken
from mcp_mount_flask.requests import read_request

__all__ = ["accounts_of", "answer", "metadata", "render", "too_large"]

_NAMES: Final = ("name", "username", "email")


def accounts_of(app: Flask) -> Accounts | None:
    """Return the accounts of an application that uses Flask-Login; None for any other one.

    Args:
        app: The application.
    """
    manager: Any = getattr(app, "login_manager", None)
    if manager is None:
        return None

    def find(request: Any) -> Person | None:
        from flask_login import current_user

        if not current_user.is_authenticated or not is_active(current_user):
            return None
        id = current_user.get_id()
        names = (getattr(current_user, name, None) for name in _NAMES)
        name = next((one for one in names if isinstance(one, str) and one), str(id))
        return None if id is None else Person(str(id), name)

    def login(path: str) -> str:
        view = manager.blueprint_login_views.get(request.blueprint, manager.login_view)
        if not view:
            raise RuntimeError("SignIn needs login_manager.login_view, or login=")
        from flask_login import login_url

        try:
            return str(login_url(view, path))
        except BuildError:
            return str(url_for(view, next=path))

    def load(id: str) -> Any:
        return None if manager._user_callback is None else manager._user_callback(id)

    def stamp(id: str) -> str | None:
        user = load(id)
        if user is None or not is_active(user):
            return None
        # Flask-Login's alternative tokens: the id of a session that a new password ends.
        return str(user.get_id())

    def find_user(token: AccessToken) -> Any:
        return load(token.subject)

    return Accounts(find, login, stamp, find_user=find_user)


def render(name: str, values: Mapping[str, Any]) -> str | None:
    """Render a page by the application's template "mcp_mount/NAME", if it has one.

    Args:
        name: The name of the page.
        values: What the template gets.
    """
    try:
        return render_template(f"mcp_mount/{name}", **values)
    except TemplateNotFound as error:
        if error.name != f"mcp_mount/{name}":
            raise
        return None


def answer(server: MCPServer, path: str, place: str, body: bytes) -> Reply:
    """Answer a request for the authorization server of a server.

    Args:
        server: The server.
        path: Its mount point.
        place: The part of the path of the request below the authorization server.
        body: The body of the request.
    """
    read = read_request(path, body)
    query = request.query_string.decode("latin-1")
    return follow(respond(server.core, read, place, query, render=render))


def metadata(server: MCPServer, path: str, place: str) -> Reply:
    """Answer a request for the metadata of the authorization server of a server.

    Args:
        server: The server.
        path: Its mount point.
        place: The path of the request.
    """
    read: Request = read_request(path)
    return server_metadata_reply(server.core, read, place)
