"""The endpoints of plain and generic views of Django REST framework."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rest_framework.mixins import (
    DestroyModelMixin,
    ListModelMixin,
    RetrieveModelMixin,
    UpdateModelMixin,
)

from mcp_mount.features import DefinitionError
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount_django.exposing.naming import Naming
from mcp_mount_django.exposing.rest_endpoints import (
    Endpoint,
    is_of_api_view,
    lookup_of,
    sentence,
    without,
)

_METHODS: Final = (
    ("get", "get_{name}"),
    ("post", "create_{name}"),
    ("patch", "update_{name}"),
    ("put", "replace_{name}"),
    ("delete", "delete_{name}"),
)

_OF_ONE: Final = (RetrieveModelMixin, UpdateModelMixin, DestroyModelMixin)


def view_endpoints(
    view: Any,
    *,
    methods: Sequence[str] | None,
    naming: Naming,
    url: Sequence[str],
    fixed: Mapping[str, Any],
    route: str | None,
) -> Iterator[Endpoint]:
    """Yield the endpoints of an APIView, or of a function with `@api_view`: one for each method.

    Args:
        view: The class or the function.
        methods: Some of its methods; None for all.
        naming: For the names of the tools.
        url: What its URL captures. By default, what the view cannot do without.
        fixed: Values of captures that are not arguments.
        route: The name of its URL.

    Raises:
        DefinitionError: If it does not have a method, or needs a URL argument that is not given.
    """
    kind: Any = view if isinstance(view, type) else getattr(view, "cls", None)
    if kind is None or not hasattr(kind, "http_method_names"):
        raise DefinitionError(
            f"{getattr(view, '__name__', view)!s} is not a view of REST framework: use add_view"
        )
    allowed = [one.lower() for one in kind.http_method_names]
    has = {one: hasattr(kind, one) and one in allowed for one, _ in _METHODS}
    wanted = [one.lower() for one in methods or ()]
    refuse_unknown(f"{kind.__name__} has no method", wanted, [one for one in has if has[one]])
    for method, pattern in _METHODS:
        # PATCH and PUT of a view are one tool, unless both are requested.
        if not has[method] or (wanted and method not in wanted):
            continue
        if not wanted and method == "put" and has["patch"]:
            continue
        captured = _captured(kind, method, url, fixed)
        many = method == "get" and _is_list(kind, captured)
        yield Endpoint(
            tool=f"list_{naming.several}" if many else pattern.format(name=naming.one),
            kind=kind,
            method=method,
            path="".join(f"/{{{one}}}" for one in captured) + f"/{naming.several}/",
            handler=method,
            action=None,
            url=captured,
            fixed=fixed,
            many=many,
            sentence=sentence(
                method, naming.one, naming.several, of_one=bool(captured), many=many, action=""
            ),
            initkwargs=getattr(view, "initkwargs", {}),
            route=route,
        )


def _is_list(kind: Any, captured: Sequence[str]) -> bool:
    """Whether GET returns a list. A view for both lists and single objects distinguishes them by
    the argument that looks up an object.
    """
    if not issubclass(kind, ListModelMixin):
        return False
    return not (issubclass(kind, RetrieveModelMixin) and lookup_of(kind) in captured)


def _captured(
    kind: Any, method: str, url: Sequence[str], fixed: Mapping[str, Any]
) -> Sequence[str]:
    """Return the captures of a view that are arguments: those that were given, or
    those it needs.
    """
    handler = getattr(kind, method)
    needed = _needed(handler)
    default = needed
    if issubclass(kind, _OF_ONE) and not (method == "post" or issubclass(kind, ListModelMixin)):
        default = list(dict.fromkeys([*needed, lookup_of(kind)]))
        # If a method is the project's own, its lookup may be too.
        if _is_of_rest_framework(handler) and _is_of_rest_framework(kind.get_object):
            needed = default
    if not url:
        return without(default, fixed)
    missing = [one for one in needed if one not in url and one not in fixed]
    if missing:
        raise DefinitionError(
            f"{kind.__name__}.{method} needs {missing[0]!r} of its URL: add it to url="
        )
    return without(url, fixed)


def _needed(handler: Any) -> list[str]:
    """Return the parameters of a handler without defaults, which its URL must capture."""
    empty = inspect.Parameter.empty
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    before = 2  # `self` and the request
    if is_of_api_view(handler):
        handler, before = inspect.getclosurevars(handler).nonlocals.get("func", handler), 1
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters[before:] if one.kind in kinds and one.default is empty]


def _is_of_rest_framework(function: Callable[..., Any]) -> bool:
    return str(getattr(function, "__module__", "")).startswith("rest_framework.")
