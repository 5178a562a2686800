"""What is left until an application is whole: it is done once, at the first request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Flask

_KEY: Final = "mcp_mount_first_request"


def at_first_request(app: Flask, do: Callable[[Flask], None]) -> None:
    """Have something done before anything else of the first request, also before all
    before_request functions.

    By then no extension can be added any more, and servers and blueprints are all registered.

    Args:
        app: The application.
        do: Called with the application; once more by each request that comes before it has ended.
    """
    first = app.extensions.get(_KEY)
    if first is None:
        first = app.extensions[_KEY] = _FirstRequest(app)
        # URL preprocessors run before all before_request functions.
        app.url_value_preprocessors.setdefault(None, []).append(first)
    if do not in first.tasks:
        first.tasks.append(do)


class _FirstRequest:
    """A URL preprocessor that removes itself, so that later requests do not pay for it."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self.tasks: list[Callable[[Flask], None]] = []

    def __call__(self, endpoint: str | None, values: Any) -> None:
        for do in self.tasks:
            do(self._app)
        every = self._app.url_value_preprocessors
        # In a new list: Flask iterates over this one.
        others = [one for one in every.get(None, ()) if one is not self]
        if others:
            every[None] = others
        else:
            every.pop(None, None)
