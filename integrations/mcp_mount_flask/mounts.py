"""What an application knows about its servers, in `app.extensions`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from flask import Flask

from mcp_mount.features import Registry
from mcp_mount.schemas.names import suggestion
from mcp_mount.wire.logs import own_logger
from mcp_mount_flask.first_request import at_first_request

logger = own_logger("mcp_mount")

_WAITING: Final = "mcp_mount_blueprints"
_CHECKED: Final = "mcp_mount_checked"


def check_application(app: Any, what: str) -> None:
    """Check that something is a Flask application.

    Args:
        app: What a user has given.
        what: The function that it was given to, for the error.

    Raises:
        TypeError: If it is not; the message names its type.
    """
    if not isinstance(app, Flask):
        raise TypeError(f"{what} takes a Flask application, not {type(app).__name__}")


def add_mount(app: Flask, path: str, mount: Any) -> None:
    """Register a server at a path, and give it the handlers of blueprints registered before.

    Args:
        app: The application.
        path: The mount point.
        mount: The MCPMount.
    """
    app.extensions.setdefault("mcp_mount", {})[path] = mount
    # Servers may be mounted after blueprints are registered.
    at_first_request(app, _tell_of_unmatched)
    for registry, paths in app.extensions.get(_WAITING, ()):
        if not paths or path in paths:
            mount.server.registry.include(registry)


def join_mounts(app: Flask, registry: Registry, paths: Collection[str]) -> None:
    """Give the handlers of a blueprint to servers, now and later.

    Args:
        app: The application.
        registry: The handlers of the blueprint.
        paths: The paths of the servers; all servers if empty.
    """
    app.extensions.setdefault(_WAITING, []).append((registry, paths))
    for path, mount in app.extensions.get("mcp_mount", {}).items():
        if not paths or path in paths:
            mount.server.registry.include(registry)


def unmatched(app: Flask) -> list[str]:
    """Return a sentence for each path in a blueprint's `mounts=` that has no server."""
    mounts = app.extensions.get("mcp_mount", {})
    wanted = dict.fromkeys(path for _, paths in app.extensions.get(_WAITING, ()) for path in paths)
    return [
        f"A blueprint is for the server at {path!r} (mounts=), where there is none; "
        f"{suggestion(path, mounts)}"
        for path in wanted
        if path not in mounts
    ]


def _tell_of_unmatched(app: Flask) -> None:
    """Log the blueprints whose servers do not exist."""
    if app.extensions.get(_WAITING) and _CHECKED not in app.extensions:
        app.extensions[_CHECKED] = True
        for problem in unmatched(app):
            logger.error("%s. No server has its tools.", problem)
