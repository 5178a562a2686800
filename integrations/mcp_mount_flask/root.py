"""What the servers of an application answer outside of their mount points: metadata, where clients
look for them, and the endpoints of an authorization server, where some clients look for those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

from flask import Flask
from werkzeug.wrappers import Response

from mcp_mount.wire.resource_metadata import ALIASES, AUTHORIZATION_SERVERS, WELL_KNOWN

_DOCUMENTS: Final = (WELL_KNOWN, *AUTHORIZATION_SERVERS)
_ROOT: Final = "mcp_mount_root"
_ALIASES: Final = "mcp_mount_root_aliases"


class RootViews(Protocol):
    """The views of one server that are needed here."""

    def root(self, name: str) -> Response: ...

    def alias(self, name: str) -> Response: ...


def add_root(app: Flask, mount: Any, views: RootViews) -> None:
    """Add the rules for what has no mount point in its path, once for each application.

    They have a part that varies, so that rules of the application for the very path come before
    them, whenever they are added, and its rules for all paths behind them.

    Args:
        app: The application.
        mount: The MCPMount of a server.
        views: The views of the server.
    """
    if mount.server.core.resource_server is None:
        return
    if _ROOT not in app.view_functions:
        names = ",".join(f'"{one.rpartition("/")[2]}"' for one in _DOCUMENTS)
        app.add_url_rule(
            f"/.well-known/<any({names}):name>",
            endpoint=_ROOT,
            view_func=views.root,
            provide_automatic_options=False,
            methods=["GET", "OPTIONS"],
        )
    if mount.server.core.sign_in is not None and _ALIASES not in app.view_functions:
        names = ",".join(one[1:] for one in ALIASES)
        app.add_url_rule(
            f"/<any({names}):name>",
            endpoint=_ALIASES,
            view_func=views.alias,
            provide_automatic_options=False,
            methods=["GET", "POST", "OPTIONS"],
        )


def first_signing_in(app: Flask) -> Any:
    """Return the MCPMount of the first server with an authorization server of its own, or None.

    Args:
        app: The application.
    """
    return next((one for one in _mounts(app) if one.server.core.sign_in is not None), None)


def has_origin(app: Flask, path: str) -> bool:
    """Whether the issuer of a server's own authorization server is the origin: it is the first such
    server, and the application has no such document of its own.

    Args:
        app: The application.
        path: The path of the server.
    """
    first = first_signing_in(app)
    if first is None or first.path != path:
        return False
    return all(rule.rule != AUTHORIZATION_SERVERS[0] for rule in app.url_map.iter_rules())


def only_resource(app: Flask) -> Any:
    """Return the MCPMount of the only server that takes tokens of authorization servers; None if
    there are more, or none.

    Args:
        app: The application.
    """
    having = [one for one in _mounts(app) if _has_servers(one)]
    return having[0] if len(having) == 1 else None


def _mounts(app: Flask) -> Iterator[Any]:
    yield from app.extensions.get("mcp_mount", {}).values()


def _has_servers(mount: Any) -> bool:
    resource = mount.server.core.resource_server
    return resource is not None and resource.has_servers
