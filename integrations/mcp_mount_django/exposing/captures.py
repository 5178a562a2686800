"""What the URLs of a project capture for a view: whether it may have slashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from mcp_mount.features.exposed import path_segment


class Captures:
    """The arguments of a view that its URL captures, checked as its URL would.

    A view relies on that: no `<str:name>` ever has a slash. Where the project has no URL for the
    view, each argument is one segment.
    """

    def __init__(self, view: Any, names: Sequence[str]) -> None:
        self._view = view
        self._names = names
        self._wide: Sequence[str] | None = None

    def of(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some arguments that are captured. Raises InvalidArguments."""
        captured = {name: given[name] for name in self._names if name in given}
        for name, value in captured.items():
            path_segment(name, str(value), is_wide=name in self.wide)
        return captured

    @property
    def wide(self) -> Sequence[str]:
        """The arguments that may have several segments; known when the URLs are."""
        if self._wide is None:
            self._wide = [name for name in self._names if _is_wide(self._view, name)]
        return self._wide


def _is_wide(view: Any, name: str) -> bool:
    return any(_matches_slash(pattern.pattern, name) for pattern in _patterns(view))


def _matches_slash(pattern: Any, name: str) -> bool:
    converter = getattr(pattern, "converters", {}).get(name)
    if converter is not None:
        return re.fullmatch(converter.regex, "a/b") is not None
    group = re.search(rf"\(\?P<{name}>((?:[^()\\]|\\.|\([^()]*\))*)\)", str(pattern))
    return group is not None and re.fullmatch(group[1], "a/b") is not None


def _patterns(view: Any, resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    """The project's URL patterns that lead to a view, or to another one of its class."""
    if resolver is None:
        if not getattr(settings, "ROOT_URLCONF", None):
            return
        resolver = get_resolver()
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(view, pattern)
        elif _class_of(pattern.callback) is _class_of(view):
            yield pattern


def _class_of(view: Callable[..., Any]) -> Any:
    return getattr(view, "view_class", getattr(view, "cls", view))
