"""What the objects of a view are called in the names of its tools."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mcp_mount_django.exposing.fields import plural_of, snake_case, tool_names


@dataclass(frozen=True, slots=True)
class Naming:
    """What the objects of a view are called in the names of its tools."""

    one: str
    several: str

    @classmethod
    def of(cls, view: Any, name: str | None, plural: str | None) -> Naming:
        """The names that the user gave, or those of the model, or of the class."""
        if name is None:
            one, several = _own_names(view)
        else:
            one, several = name, name if _is_plural(name) else plural_of(name)
        return cls(one, plural or several)


def _own_names(view: Any) -> tuple[str, str]:
    model = getattr(getattr(view, "queryset", None), "model", None)
    serializer = getattr(view, "serializer_class", None)
    model = model or getattr(getattr(serializer, "Meta", None), "model", None)
    if model is not None:
        return tool_names(model)
    one = snake_case(re.sub(r"(ViewSet|APIView|API|View)$", "", view.__name__) or view.__name__)
    if _is_plural(one):
        return one.removesuffix("ies") + "y" if one.endswith("ies") else one[:-1], one
    return one, plural_of(one)


def _is_plural(name: str) -> bool:
    return re.search(r"[^su]s$", name) is not None
