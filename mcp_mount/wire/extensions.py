"""The protocol extensions that this server knows, by their identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TASKS: Final = "io.modelcontextprotocol/tasks"
"""Calls that go on in the background (SEP-2663)."""

PAGES: Final = "io.modelcontextprotocol/ui"
"""Pages that a client shows beside results: MCP Apps (SEP-1865)."""

PAGE_TYPE: Final = "text/html;profile=mcp-app"
"""The media type of such a page."""


def shows_pages(capabilities: Mapping[str, Any]) -> bool:
    """Whether a client shows pages, by the capabilities that it declares."""
    extensions = capabilities.get("extensions")
    declared = extensions.get(PAGES) if isinstance(extensions, dict) else None
    types = declared.get("mimeTypes") if isinstance(declared, dict) else None
    return isinstance(types, list) and PAGE_TYPE in types
