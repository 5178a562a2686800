"""Paths under a prefix: where in its mount point a request goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def route_path(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI request below its root_path.

    Servers and frameworks agree since ASGI 3 that `path` includes `root_path`; some proxies'
    set-ups leave it out, and then `path` is the answer already.
    """
    return below(scope["path"], scope.get("root_path", ""))


def below(path: str, prefix: str) -> str:
    """`path` without `prefix`, if it is below that; whole otherwise."""
    if prefix and is_below(path, prefix):
        return path[len(prefix) :]
    return path


def is_below(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or goes on with a slash behind it."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")


def clean_prefix(path: str) -> str:
    """A mount point in its usual form: "/mcp" for "/mcp/".

    Args:
        path: What the user wrote.

    Raises:
        ValueError: If it is not a path.
    """
    prefix = path.rstrip("/")
    if not prefix.startswith("/"):
        raise ValueError(f"a mount point starts with '/' and names something, not {path!r}")
    return prefix
