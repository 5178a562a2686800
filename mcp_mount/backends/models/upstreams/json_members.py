"""Reading JSON of upstreams, which may have anything anywhere: what does not fit is left out."""

from __future__ import annotations

from typing import Any, Final

_MOST: Final = 2**53
"""More tokens than there can be: a price times a larger number may be none."""


def text_in(value: Any, name: str) -> str:
    """The text in a member; "" if there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def object_in(value: Any, name: str) -> dict[str, Any]:
    """The object in a member; an empty one if there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def objects_in(value: Any, name: str) -> list[dict[str, Any]]:
    """The objects in the list in a member."""
    found = value.get(name) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def count_in(value: Any, name: str) -> int:
    """The number of tokens in a member; 0 if there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return min(found, _MOST) if isinstance(found, int) and found > 0 else 0
