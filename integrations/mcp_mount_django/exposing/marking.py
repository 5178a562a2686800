"""The mark by which an endpoint of a documented API becomes a tool."""

from __future__ import annotations

from typing import Any

from mcp_mount.openapi.operations import MARK, as_mark


def as_tool(name: str | None = None, description: str | None = None) -> dict[str, Any]:
    """Mark an endpoint to become a tool.

    In Django Ninja: `@api.get("/x", openapi_extra=as_tool("find_x"))`; with drf-spectacular:
    `@extend_schema(extensions=as_tool())`.

    Args:
        name: Of the tool; by default that of the operation.
        description: Of the tool; by default that of the operation.

    Returns:
        What the document of the API has for the operation besides.
    """
    return {MARK: as_mark(name, description)}
