"""The mark by which an endpoint becomes a tool."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, overload

from mcp_mount.openapi.operations import ANNOTATIONS, MARK, as_mark
from mcp_mount.schemas.values import mapping

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE: Final = "__mcp_mark__"


class ToolMark(dict[str, Any]):
    """A mark: members of an OpenAPI operation, and a decorator that gives them to a function."""

    def __call__(self, function: F) -> F:
        setattr(function, _ATTRIBUTE, self)
        return function


@overload
def as_tool(name: F, /) -> F: ...


@overload
def as_tool(
    name: str | None = None,
    description: str | None = None,
    *,
    annotations: Mapping[str, Any] | None = None,
) -> ToolMark: ...


def as_tool(
    name: F | str | None = None,
    description: str | None = None,
    *,
    annotations: Mapping[str, Any] | None = None,
) -> F | ToolMark:
    """Mark an endpoint to become a tool, for `expose` without a selection.

    Put it below the route:

        @api.get("/stations/best")
        @as_tool("best_station")
        def best(): ...

    Without arguments it needs no parentheses: `@as_tool`.

    It is also a dict of members of an OpenAPI operation, for what writes the operation by itself:
    `@extend_schema(extensions=as_tool())` of drf-spectacular.

    Args:
        name: The name of the tool; by default that of the operation. Without parentheses, the
            function.
        description: Of the tool; by default that of the operation.
        annotations: Hints in place of those that the HTTP method gives: a GET that writes has
            {"readOnlyHint": False}.

    Returns:
        A decorator that returns the function unchanged; without parentheses, the function itself.

    Raises:
        DefinitionError: For a value that an argument cannot have.
    """
    if callable(name):
        return ToolMark({MARK: as_mark()})(name)
    mark = ToolMark({MARK: as_mark(name, description)})
    if annotations is not None:
        mark[ANNOTATIONS] = dict(mapping("annotations=", annotations))
    return mark


def members_of(function: Any) -> Mapping[str, Any]:
    """The members that the mark of a function gives its operation; none where it has no mark.

    Args:
        function: An endpoint, perhaps wrapped by other decorators (`functools.wraps`).
    """
    while function is not None:
        found = inspect.getattr_static(function, _ATTRIBUTE, None)
        if isinstance(found, ToolMark):
            return found
        function = getattr(function, "__wrapped__", None)
    return {}
