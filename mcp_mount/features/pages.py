"""Pages: user interfaces that a client shows in a frame beside a tool's result.

The rules are those of the extension `io.modelcontextprotocol/ui` (MCP Apps, SEP-1865). A page is
a resource with a `ui://` URI; a tool names the page that shows its results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from typing_extensions import Unpack

from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.features.definitions import check_definition
from mcp_mount.features.resources import (
    READ_CHECKS,
    ReadDefinition,
    Resource,
    ResourceDefinition,
)
from mcp_mount.schemas.functions import DefinitionError, describe
from mcp_mount.schemas.names import several_names
from mcp_mount.schemas.values import Check, flag, or_none, text
from mcp_mount.wire.extensions import PAGE_TYPE
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.uris import normal_uri

_PERMISSIONS: Final = {
    "camera": "camera",
    "microphone": "microphone",
    "geolocation": "geolocation",
    "clipboard-write": "clipboardWrite",
}

_ORIGINS: Final = {
    "connect": "connectDomains",
    "resources": "resourceDomains",
    "frames": "frameDomains",
    "base_uris": "baseUriDomains",
}


_CHECKS: Final[Mapping[str, Check]] = {
    **READ_CHECKS,
    **dict.fromkeys((*_ORIGINS, "permissions"), several_names),
    "domain": or_none(text),
    "border": or_none(flag),
}


class PageDefinition(ReadDefinition, total=False):
    """What users may say of a page; origins are such as "https://api.example.org"."""

    connect: Sequence[str]
    """The origins that the page may reach."""
    resources: Sequence[str]
    """The origins that it may load scripts, styles and images from."""
    frames: Sequence[str]
    """The origins that it may embed."""
    base_uris: Sequence[str]
    """The origins that it may have as its base."""
    permissions: Sequence[Literal["camera", "microphone", "geolocation", "clipboard-write"]]
    """What of the browser it may use."""
    domain: str | None
    """The origin that the page is to have, in the form that the client wants."""
    border: bool | None
    """Whether it likes a border."""


def page(
    function: Callable[..., Any],
    uri: str,
    *,
    rules: Sequence[Rule] = (),
    policies: Policies = NO_POLICIES,
    **definition: Unpack[PageDefinition],
) -> Resource:
    """Make a page of a function that returns HTML.

    Args:
        function: Returns the HTML.
        uri: Begins with "ui://".
        rules: Who may see and read it.
        policies: Wrap its calls.
        definition: What the user says of it.

    Raises:
        DefinitionError: For a function, a URI or origins that cannot be those of a page.
    """
    given: Mapping[str, Any] = definition
    check_definition(function, given, _CHECKS)
    permissions = several_names("permissions", given.get("permissions"))
    origins = {name: several_names(option, given.get(option)) for option, name in _ORIGINS.items()}
    if not text("uri", uri).startswith("ui://"):
        raise DefinitionError(f"{describe(function)}: the URI of a page begins with ui://: {uri!r}")
    unknown = set(permissions) - set(_PERMISSIONS)
    if unknown:
        raise DefinitionError(
            f"{describe(function)}: no page can be permitted {', '.join(sorted(unknown))}, only "
            f"{', '.join(_PERMISSIONS)}"
        )
    for origin in chain.from_iterable(origins.values()):
        if "://" not in origin or any(mark in origin for mark in " ;,'\""):
            raise DefinitionError(f"{describe(function)}: {origin!r} is no origin (https://…)")
    shown: dict[str, Any] = {
        "csp": {name: listed for name, listed in origins.items() if listed},
        "permissions": {_PERMISSIONS[one]: {} for one in permissions},
        "domain": definition.get("domain"),
        "prefersBorder": definition.get("border"),
    }
    own = {name: value for name, value in shown.items() if value is not None and value != {}}
    whole = {**(definition.get("meta") or {}), **({"ui": own} if own else {})} or None
    known = ResourceDefinition.__annotations__
    rest: Any = {name: value for name, value in given.items() if name in known}
    return Resource.of(
        function,
        uri,
        content_meta=whole,
        rules=rules,
        policies=policies,
        **{**rest, "mime_type": PAGE_TYPE, "meta": whole},
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
