"""What an application keeps of its servers, in `app.extensions`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Flask

from mcp_mount.features import Registry

_WAITING = "mcp_mount_blueprints"


def add_mount(app: Flask, path: str, mount: Any) -> None:
    """Note a server at a path; blueprints that were registered before give it their entries."""
    app.extensions.setdefault("mcp_mount", {})[path] = mount
    for registry, paths in app.extensions.get(_WAITING, ()):
        if not paths or path in paths:
            mount.server.registry.include(registry)


def join_mounts(app: Flask, registry: Registry, paths: Collection[str]) -> None:
    """Give the entries of a blueprint to the servers at `paths`, or to all, now and later."""
    app.extensions.setdefault(_WAITING, []).append((registry, paths))
    for path, mount in app.extensions.get("mcp_mount", {}).items():
        if not paths or path in paths:
            mount.server.registry.include(registry)
