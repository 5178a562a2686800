"""The paths that unauthenticated callers are redirected to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

from flask import Flask


def login_paths(app: Flask, named: Collection[str] = ()) -> list[str]:
    """Return the login paths of an application: the views of Flask-Login, for the application and
    for its blueprints, and that of Flask-AppBuilder.

    Args:
        app: The application.
        named: The endpoints of further login views.
    """
    endpoints = {*named, *_views(app)}
    paths = [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint in endpoints]
    # A view may be given as a URL: "/login", "https://sso.example.org/login".
    paths += [urlsplit(view).path for view in endpoints if "/" in view]
    return list(dict.fromkeys(paths))


def _views(app: Flask) -> Iterator[str]:
    manager: Any = getattr(app, "login_manager", None)
    if manager is not None:
        views = (manager.login_view, manager.refresh_view, *manager.blueprint_login_views.values())
        yield from (str(view) for view in views if view)
    builder: Any = getattr(app, "appbuilder", None)
    view = getattr(getattr(builder, "sm", None), "auth_view", None)
    if view is not None:
        yield f"{view.endpoint}.login"
