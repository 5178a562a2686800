"""The hints of tools (`annotations=`): those of the specification, written as it writes them.

Clients do not look at a misspelt one: a tool that only reads would be taken for one that destroys.
Other keys are a user's own, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import flag, or_none, text

# 2026-07-28, schema, "ToolAnnotations".
_FLAGS: Final = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")

_MEANT: Final = {
    "title": "title",
    **{name.lower(): name for name in _FLAGS},
    **{name.lower().removesuffix("hint"): name for name in _FLAGS},
}
"""The hints by what is left of their names without case and underscores, with "hint" or without."""

_SAME: Final = 0.85
"""How alike two names are, by difflib, of which one is a misspelling of the other."""


def check_hints(name: str, value: Any) -> None:
    """Check the hints of a tool.

    Args:
        name: The name of the option.
        value: What the user gave.

    Raises:
        DefinitionError: For a hint whose name or value is nearly one of the specification's.
    """
    if isinstance(value, BaseModel):
        return
    if not isinstance(value, Mapping):
        raise DefinitionError(f"{name} is a dict, or a model of mcp_types, not {value!r}")
    for key, given in value.items():
        meant = _meant(str(key))
        if meant is not None and key != meant:
            raise DefinitionError(f"{name} has no hint {key!r}; did you mean {meant!r}?")
        if meant is not None:
            check = text if meant == "title" else flag
            or_none(check)(f"{name}[{key!r}]", given)


def _meant(key: str) -> str | None:
    """The hint of the specification that a user means; None for a key of the user's own."""
    plain = key.lower().replace("_", "").replace("-", "")
    if plain in _MEANT:
        return _MEANT[plain]
    # It is imported by tools that have other keys only.
    from difflib import get_close_matches

    near = get_close_matches(plain, [name.lower() for name in _FLAGS], n=1, cutoff=_SAME)
    return _MEANT[near[0]] if near else None
