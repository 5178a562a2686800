"""What the definitions of tools, resources and prompts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pydantic_core import from_json

from mcp_mount.schemas.functions import DefinitionError, Documentation
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.messages import plain


class Definition(TypedDict, total=False):
    """What users may say of any entry (2026-07-28, basic/index, "General fields" and "icons")."""

    title: str | None
    """The name that people see."""
    description: str | None
    """What it is for, in words for the model; by default the docstring."""
    icons: Sequence[Any] | None
    """URLs, `mcp_types.Icon` or plain data."""
    meta: Mapping[str, Any] | None
    """The definition's `_meta`."""


def members(
    documentation: Documentation, definition: Definition | Mapping[str, Any], **own: Any
) -> dict[str, Any]:
    """The members of a definition as clients see it; those that are None are left out.

    Args:
        documentation: The docstring of the handler.
        definition: What the user said of the entry.
        own: Further members, by their names on the wire.

    Raises:
        DefinitionError: For members that have no JSON form.
    """
    every = {
        **own,
        "title": definition.get("title"),
        "description": definition.get("description") or documentation.description or None,
        "icons": [
            {"src": one} if isinstance(one, str) else plain(one)
            for one in definition.get("icons") or ()
        ],
        "_meta": plain(definition.get("meta")),
    }
    whole = {key: value for key, value in every.items() if value is not None and value != []}
    try:
        encoded: dict[str, Any] = from_json(encode(whole))
    except ValueError as error:
        raise DefinitionError(f"{own.get('name')!r} has no JSON form: {error}") from None
    return encoded
