"""Middleware of the project that decides by path. It has seen the path of MCP, and runs again
around views if the user names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.utils.module_loading import import_string

from mcp_mount.features import DefinitionError

_VIEW = "_mcp_mount_view"
"""The attribute of a request with the view that it is for."""


class Middlewares:
    """A chain of middleware, outermost first, as in the setting MIDDLEWARE.

    Args:
        names: Dotted paths, or the factories themselves.

    Raises:
        DefinitionError: If a path cannot be imported, or middleware supports only coroutines.
    """

    def __init__(self, names: Sequence[str | Callable[..., Any]]) -> None:
        self._factories = [_loaded(one) for one in names]

    def call(
        self,
        request: HttpRequest,
        view: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call a view with the middleware around it.

        Args:
            request: The request of the view.
            view: The view.
            args: Positional captures of its URL.
            kwargs: Named captures of its URL.
        """
        if not self._factories:
            return view(request, *args, **kwargs)
        setattr(request, _VIEW, (view, args, kwargs))
        handler, _ = self._chain
        return handler(request)

    @cached_property
    def _chain(self) -> tuple[Callable[..., Any], list[Callable[..., Any]]]:
        """Return the outermost middleware, and the functions to call when the view is known."""
        handler: Any = self._innermost
        hooks: list[Callable[..., Any]] = []
        for factory in reversed(self._factories):
            try:
                handler = factory(handler)
            except MiddlewareNotUsed:
                continue
            if hasattr(handler, "process_view"):
                hooks.insert(0, handler.process_view)
        return handler, hooks

    def _innermost(self, request: HttpRequest) -> Any:
        view, args, kwargs = getattr(request, _VIEW)
        for hook in self._chain[1]:
            response = hook(request, view, args, kwargs)
            if response is not None:
                return response
        response = view(request, *args, **kwargs)
        if callable(getattr(response, "render", None)) and not response.is_rendered:
            # Middleware receives rendered responses.
            response = response.render()
        return response


def _loaded(name: str | Callable[..., Any]) -> Callable[..., Any]:
    factory: Any = name
    if isinstance(name, str):
        try:
            factory = import_string(name)
        except ImportError as error:
            raise DefinitionError(
                f"middleware= names {name!r}, which cannot be imported: {error}"
            ) from None
    if not callable(factory) or not getattr(factory, "sync_capable", True):
        raise DefinitionError(f"middleware= takes middleware of plain functions, not {name!r}")
    loaded: Callable[..., Any] = factory
    return loaded
