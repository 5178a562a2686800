"""Finding the server in what a user names on a command line: "module:app"."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from mcp_mount.base import MCPServer


class LoadError(Exception):
    """A target that names no server. The message says what to write instead."""


def load_server(target: str, *, path: str | None = None) -> tuple[MCPServer, Any]:
    """The server that `target` names, and the application that it is in, or itself.

    Args:
        target: "module:attribute" or "module:function()": a server, a host application, or a
            function that makes one.
        path: Where the server is mounted, if the host has several.

    Raises:
        LoadError: If there is none.
    """
    thing = _load(target)
    if isinstance(thing, MCPServer):
        return thing, thing
    return _chosen(target, thing, path), thing


def _chosen(target: str, thing: Any, path: str | None) -> MCPServer:
    found = dict(mounted(thing))
    if path is not None:
        try:
            return found[path.rstrip("/")]
        except KeyError:
            raise LoadError(f"{target} has no server at {path!r}, only at {_list(found)}") from None
    servers = {id(server): server for server in found.values()}
    if not servers:
        raise LoadError(f"{target} is no MCPServer, and no application that has one mounted")
    if len(servers) > 1:
        raise LoadError(f"{target} has several servers, choose one with --path: {_list(found)}")
    return next(iter(servers.values()))


def _load(target: str) -> Any:
    name, colon, attribute = target.partition(":")
    if not colon or not attribute:
        raise LoadError(f"{target!r} must be module:attribute")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        raise LoadError(f"there is no module {error.name!r}") from None
    thing: Any = module
    called = attribute.endswith("()")
    for part in attribute.removesuffix("()").split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            raise LoadError(f"{name} has no {attribute.removesuffix('()')!r}") from None
    return thing() if called else thing


def mounted(app: Any) -> Iterator[tuple[str, MCPServer]]:
    """The servers mounted in an application, by their paths."""
    extensions = getattr(app, "extensions", None)
    if isinstance(extensions, dict):
        for path, extension in extensions.get("mcp_mount", {}).items():
            yield path, extension.server
    if isinstance(getattr(app, "server", None), MCPServer):
        yield getattr(app, "path", ""), app.server
    for route in getattr(app, "routes", ()):
        inner = getattr(route, "app", None)
        prefix = getattr(route, "path", "").rstrip("/")
        if isinstance(inner, MCPServer):
            yield prefix, inner
        elif inner is not None:
            for path, server in mounted(inner):
                yield prefix + path, server


def _list(found: dict[str, MCPServer]) -> str:
    return ", ".join(sorted(found)) or "none"
