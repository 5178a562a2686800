"""Pages: user interfaces that a client shows in a frame beside a tool's result.

The rules are those of the extension `io.modelcontextprotocol/ui` (MCP Apps, SEP-1865). A page is
a resource with a `ui://` URI; a tool names the page that shows its results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mcp_mount.features.resources import Resource
from mcp_mount.schemas.functions import DefinitionError, describe
from mcp_mount.wire.extensions import PAGE_TYPE
from mcp_mount.wire.uris import normal_uri

_PERMISSIONS: Final = {
    "camera": "camera",
    "microphone": "microphone",
    "geolocation": "geolocation",
    "clipboard-write": "clipboardWrite",
}


def page(
    function: Callable[..., Any],
    uri: str,
    *,
    connect: Sequence[str] = (),
    resources: Sequence[str] = (),
    frames: Sequence[str] = (),
    base_uris: Sequence[str] = (),
    permissions: Sequence[str] = (),
    domain: str | None = None,
    border: bool | None = None,
    meta: Mapping[str, Any] | None = None,
    **options: Any,
) -> Resource:
    """Make a page of a function that returns HTML; raise DefinitionError if it cannot be one."""
    if not uri.startswith("ui://"):
        raise DefinitionError(f"{describe(function)}: the URI of a page begins with ui://: {uri!r}")
    unknown = set(permissions) - set(_PERMISSIONS)
    if unknown:
        raise DefinitionError(
            f"{describe(function)}: no page can be permitted {', '.join(sorted(unknown))}, only "
            f"{', '.join(_PERMISSIONS)}"
        )
    for origin in (*connect, *resources, *frames, *base_uris):
        if "://" not in origin or any(mark in origin for mark in " ;,'\""):
            raise DefinitionError(f"{describe(function)}: {origin!r} is no origin (https://…)")
    policy = {
        "connectDomains": list(connect),
        "resourceDomains": list(resources),
        "frameDomains": list(frames),
        "baseUriDomains": list(base_uris),
    }
    shown: dict[str, Any] = {
        "csp": {name: origins for name, origins in policy.items() if origins},
        "permissions": {_PERMISSIONS[one]: {} for one in permissions},
        "domain": domain,
        "prefersBorder": border,
    }
    own = {name: value for name, value in shown.items() if value is not None and value != {}}
    whole = {**(meta or {}), **({"ui": own} if own else {})} or None
    return Resource.of(
        function, uri, mime_type=PAGE_TYPE, meta=whole, content_meta=whole, **options
    )


def fixed(html: str | Path) -> Callable[[], str]:
    """The function of a page that is the same for all: a text, or a file read at each request."""
    if isinstance(html, Path):
        return lambda: html.read_text(encoding="utf-8")
    return lambda: html


def tool_meta(page: str | None, app_only: bool) -> dict[str, Any]:
    """What the definition of a tool says of its page, and of who may call it."""
    shown: dict[str, Any] = {}
    if page is not None:
        if not page.startswith("ui://"):
            raise DefinitionError(f"page must be the ui:// URI of a page, not {page!r}")
        shown["resourceUri"] = normal_uri(page)
    if app_only:
        shown["visibility"] = ["app"]
    return {"ui": shown} if shown else {}
