"""What servers in front of an application have in common, and what is refused when one is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from mcp_mount.base import MCPServer
from mcp_mount.hosting.namesakes import refuse_namesakes
from mcp_mount.hosting.root import may_be_at_root, place_below
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.transports.paths import clean_prefix, is_below
from mcp_mount.wire.messages import Request
from mcp_mount.wire.resource_metadata import ALIASES

DirectlyWithin: TypeAlias = tuple[AbstractContextManager[Any], Callable[[], Request]]
"""What a direct call runs in, and what reads its request there, should it go the long way."""


class Wrapped:
    """An application, and the server that answers at `path` in front of it.

    Args:
        app: The application.
        path: The mount point of the server.
        server: The server.
        takes: How many arguments the application is called with: 2 for WSGI, 3 for ASGI.

    Raises:
        TypeError: If the arguments are swapped, or the application is not of that kind.
        ValueError: If the path has parameters.
        DefinitionError: If a server that is mounted already would not be reached any more, or has
            the name and the backplane of this one.
    """

    def __init__(self, app: Callable[..., Any], path: str, server: MCPServer, takes: int) -> None:
        check_mount(app, path, server, takes)
        self.app = app
        self.path = _literal(path)
        _refuse_unreachable(app, self.path)
        self.server = server
        self._others: list[Wrapped] = []
        inner: Any = app
        while isinstance(inner, Wrapped):
            self._others.append(inner)
            inner._others.append(self)
            inner = inner.app
        refuse_namesakes(server.core, [one.server.core for one in self._others])
        self._before = len(self._others)
        self._attach()

    def inner_path(self, path: str) -> str | None:
        """The path of a request that is for the server; None if it is for the application.

        Args:
            path: The path of the request.

        Returns:
            The path, which begins with the mount point: that of metadata, which stand before it
            (RFC 9728, RFC 8414), has them below it.
        """
        if may_be_at_root(path):
            return None if path in ALIASES else self._path_of_root(path)
        return path if is_below(path, self.path) else None

    def alias_path(self, path: str) -> str | None:
        """The path of a request that is for the server if the application has nothing there: of an
        endpoint of its authorization server at the root.

        Args:
            path: The path of the request.
        """
        return self._path_of_root(path) if path in ALIASES else None

    def _path_of_root(self, path: str) -> str | None:
        place = place_below(
            self.server.core,
            path,
            self.path,
            has_origin=self._has_origin(),
            is_only=not any(one._has_servers for one in self._others),
        )
        return None if place is None else self.path + place

    @property
    def _has_servers(self) -> bool:
        resource = self.server.core.resource_server
        return resource is not None and resource.has_servers

    def _has_origin(self) -> bool:
        """Whether the issuer of the server's own authorization server is the origin: of several
        such servers, that of the first one."""
        sign_in = self.server.core.sign_in
        if sign_in is None or urlsplit(sign_in.issuer or "").path.rstrip("/"):
            return False
        return all(one.server.core.sign_in is None for one in self._others[: self._before])

    def _attach(self) -> None:
        """Note what is served at the root of the domain, if the host itself is there: it serves
        nothing else of that."""
        self.server.core.attach(
            replace(
                self.server.core.host,
                serves_metadata=lambda wanted: wanted == self.path,
                serves_issuer=lambda wanted: wanted == self.path and self._has_origin(),
            )
        )


def check_mount(
    app: Any, path: Any, server: Any, takes: int | type, *, kind: type | None = None
) -> None:
    """Refuse arguments of `mount` that are swapped, or of another host.

    Args:
        app: The application.
        path: The mount point.
        server: What is mounted.
        takes: How many arguments the application is called with (2 for WSGI, 3 for ASGI), or its
            class.
        kind: The class of servers that the host takes; by default `MCPServer`.

    Raises:
        TypeError: For the first that is wrong.
    """
    kind = kind or MCPServer
    if not isinstance(path, str) or isinstance(app, MCPServer):
        raise TypeError("the application comes first, then the path: mount(app, '/mcp', server)")
    if not isinstance(server, kind):
        raise TypeError(
            f"mount takes an MCPServer of {kind.__module__.partition('.')[0]}, "
            f"not {type(server).__module__.partition('.')[0]}'s {type(server).__name__}"
        )
    if isinstance(takes, type):
        if not isinstance(app, takes):
            raise TypeError(
                f"mount takes an application of {takes.__name__}, not {type(app).__name__}; "
                "mount_wsgi and mount_asgi of mcp_mount take any"
            )
    elif not _is_called_with(app, takes):
        wanted, other = ("a WSGI", "mount_asgi") if takes == 2 else ("an ASGI", "mount_wsgi")
        raise TypeError(f"{type(app).__name__} is not {wanted} application: use {other}")


def _is_called_with(app: Any, count: int) -> bool:
    """Whether an application can be called with so many arguments, as far as can be seen."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return callable(app)
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _literal(path: str) -> str:
    """The mount point of a server in front of its application, which takes no patterns."""
    if "{" in path or "<" in path:
        raise ValueError(
            f"{path!r} has parameters; a server in front of an application has a fixed path. "
            "Mount it inside the framework, by its integration"
        )
    return clean_prefix(path)


def _refuse_unreachable(app: Any, path: str) -> None:
    """Refuse a mount point that would hide another one.

    Raises:
        DefinitionError: If a server is mounted at the same path, or below it.
    """
    while isinstance(app, Wrapped):
        if app.path == path:
            raise DefinitionError(
                f"a server is mounted at {path!r} already, and this one would hide it: "
                "give another path"
            )
        if is_below(app.path, path):
            raise DefinitionError(
                f"a server is mounted at {app.path!r}, below {path!r}, and this one would hide it: "
                "mount the longer path last"
            )
        app = app.app
