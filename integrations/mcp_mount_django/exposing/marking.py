"""The mark by which an endpoint of a documented API becomes a tool."""

from __future__ import annotations

from typing import Any

from mcp_mount.openapi.operations import MARK, as_mark


def as_tool(name: str | None = None, description: str | None = None) -> dict[str, Any]:
    """Mark an endpoint to become a tool.

    In Django Ninja: `@api.get("/x", openapi_extra=as_tool("find_x"))`; with drf-spectacular:
    `@extend_schema(extensions=as_tool())`.
    """
    return {MARK: as_mark(name, description)}
