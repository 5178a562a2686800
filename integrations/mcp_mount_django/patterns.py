"""The URL patterns of the project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from mcp_mount_django.view import ServerView


def url_patterns(
    resolver: URLResolver | None = None, prefix: str = "/"
) -> Iterator[tuple[str, URLPattern]]:
    """Yield all URL patterns of the project, each with the path of the resolvers around it.

    Args:
        resolver: Where to begin. By default at ROOT_URLCONF, if the project has one.
        prefix: The path of that resolver.
    """
    if resolver is None:
        if not getattr(settings, "ROOT_URLCONF", None):
            return
        resolver = get_resolver()
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from url_patterns(pattern, prefix + str(pattern.pattern).removeprefix("/"))
        elif isinstance(pattern, URLPattern):
            yield prefix, pattern


def mounted() -> Iterator[tuple[str, Any]]:
    """Yield the servers in the project's URLs, each with its path."""
    for prefix, pattern in url_patterns():
        if isinstance(pattern.callback, ServerView):
            yield prefix, pattern.callback.server
