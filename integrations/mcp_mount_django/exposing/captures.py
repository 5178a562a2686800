"""Arguments of a view that the project's URLs capture, checked as those URLs would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mcp_mount.openapi.arguments import path_segment
from mcp_mount_django.exposing.view_urls import captures_value, patterns_of


class CapturedArguments:
    """Checks arguments of a view as its URL pattern would.

    Views rely on their pattern: what `<str:name>` captures never contains a slash. If the project
    has no URL for the view, each argument is one segment.

    Args:
        view: The view.
        names: The names of the captured arguments.
    """

    def __init__(self, view: Any, names: Sequence[str]) -> None:
        self._view = view
        self._names = names

    def of(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the captured ones among some arguments.

        Raises:
            InvalidArguments: If the pattern cannot capture one.
        """
        captured = {name: given[name] for name in self._names if name in given}
        for name, value in captured.items():
            path_segment(name, str(value), is_wide=name in self._wide)
        return captured

    @cached_property
    def _wide(self) -> Sequence[str]:
        """Return the arguments that may have several segments. They are looked up at the first
        call, when all URLs are known.
        """
        return [name for name in self._names if _is_wide(self._view, name)]


def _is_wide(view: Any, name: str) -> bool:
    """Whether a pattern of the view, or of another view of its class, captures slashes
    in a name.
    """
    return any(captures_value(pattern, name, "a/b") for pattern in patterns_of(view))
