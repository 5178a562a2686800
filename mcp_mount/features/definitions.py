"""The members that the definitions of tools, resources and prompts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from mcp_mount.schemas.functions import DefinitionError, Documentation
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.messages import plain


def members(
    documentation: Documentation,
    *,
    title: str | None,
    description: str | None,
    icons: Sequence[Any] | None,
    meta: Mapping[str, Any] | None,
    **own: Any,
) -> dict[str, Any]:
    """The members of a definition: what is None is left out.

    description: the docstring's unless given. icons: `mcp_types.Icon`, plain data, or just URLs.
    own: further members, with their names on the wire.
    """
    every = {
        **own,
        "title": title,
        "description": description or documentation.description or None,
        "icons": [{"src": one} if isinstance(one, str) else plain(one) for one in icons or ()],
        "_meta": plain(meta),
    }
    definition = {key: value for key, value in every.items() if value is not None and value != []}
    try:
        whole: dict[str, Any] = from_json(encode(definition))
    except ValueError as error:
        raise DefinitionError(f"{own.get('name')!r} has no JSON form: {error}") from None
    return whole
