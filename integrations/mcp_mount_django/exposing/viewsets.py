"""Which endpoints the viewsets and views of Django REST framework have, as its routers see them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rest_framework.mixins import (
    DestroyModelMixin,
    ListModelMixin,
    RetrieveModelMixin,
    UpdateModelMixin,
)

from mcp_mount.features import DefinitionError
from mcp_mount.features.names import refuse_unknown
from mcp_mount_django.exposing.endpoints import Endpoint, is_of_api_view, sentence
from mcp_mount_django.exposing.fields import plural_of, snake_case, tool_names

_ROUTES: Final = (
    ("list", "get", "list_{plural}", False),
    ("create", "post", "create_{name}", False),
    ("retrieve", "get", "get_{name}", True),
    ("partial_update", "patch", "update_{name}", True),
    ("update", "put", "replace_{name}", True),
    ("destroy", "delete", "delete_{name}", True),
)
"""The actions of a viewset: their HTTP method, their tool, whether they are of one object."""

_METHODS: Final = (
    ("get", "get_{name}"),
    ("post", "create_{name}"),
    ("patch", "update_{name}"),
    ("put", "replace_{name}"),
    ("delete", "delete_{name}"),
)

_OF_ONE: Final = (RetrieveModelMixin, UpdateModelMixin, DestroyModelMixin)

_GROUP: Final = re.compile(r"\(\?P<(\w+)>|<(?:[^:<>]+:)?(\w+)>")
"""A capture in the `url_path` of an action, as a regular expression or as a path has it."""


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


def viewset_endpoints(
    viewset: Any,
    *,
    actions: Sequence[str] | None,
    naming: Naming,
    basename: str | None,
    url: Sequence[str],
    fixed: Mapping[str, Any],
) -> Iterator[Endpoint]:
    """The endpoints of a viewset: its standard actions and its own.

    Args:
        viewset: The class.
        actions: The names of some; None for all.
        naming: For the names of the tools.
        basename: As in its router.
        url: What its URLs capture before the viewset's own part.
        fixed: Values of captures that are no arguments.

    Raises:
        DefinitionError: For actions that it does not have.
    """
    allowed = [one.lower() for one in viewset.http_method_names]
    standard = [route for route in _ROUTES if hasattr(viewset, route[0]) and route[1] in allowed]
    extra = list(_extra_actions(viewset, allowed))
    basename = basename or _basename(viewset, naming)
    known = [*(route[0] for route in standard), *(name for one in extra for name in one.names)]
    refuse_unknown(f"{viewset.__name__} has no action", actions or (), known)
    lookup = _lookup(viewset)
    outer = [*url] or list(getattr(viewset, "parent_lookup_kwargs", None) or ())
    # One of the two is enough to make changes with, unless both are asked for.
    changes = any(route[0] == "partial_update" for route in standard)
    where = "".join(_segment(one, fixed) for one in outer) + f"/{naming.several}"
    for action, method, pattern, of_one in standard:
        if action not in actions if actions is not None else action == "update" and changes:
            continue
        own = _without([*outer, lookup] if of_one else outer, fixed)
        yield Endpoint(
            tool=pattern.format(name=naming.one, plural=naming.several),
            kind=viewset,
            method=method,
            path=f"{where}/{{{lookup}}}/" if of_one else f"{where}/",
            handler=action,
            action=action,
            url=own,
            fixed=fixed,
            many=action == "list",
            sentence=sentence(
                method, naming.one, naming.several, of_one=of_one, many=action == "list", action=""
            ),
            initkwargs={"basename": basename, "detail": of_one},
            route=f"{basename}-{'detail' if of_one else 'list'}",
        )
    for one in extra:
        if actions is not None and not set(one.names) & set(actions):
            continue
        detail = one.action.detail
        captures = [first or second for first, second in _GROUP.findall(one.action.url_path)]
        lookups = [lookup] if detail else []
        readable = re.sub(
            r"\(\?P<(\w+)>[^)]*\)|<(?:[^:<>]+:)?(\w+)>", r"{\1\2}", one.action.url_path
        )
        yield Endpoint(
            tool=f"{naming.one}_{one.name}",
            kind=viewset,
            method=one.method,
            path=where + "".join(f"/{{{each}}}" for each in lookups) + f"/{readable}/",
            handler=one.handler,
            action=one.handler,
            url=_without([*outer, *lookups, *captures], fixed),
            fixed=fixed,
            many=False,
            sentence=sentence(
                one.method,
                naming.one,
                naming.several,
                of_one=detail,
                many=False,
                action=one.name,
            ),
            is_extra=True,
            initkwargs={"basename": basename, "detail": detail, **one.action.kwargs},
            route=f"{basename}-{one.action.url_name}",
        )


@dataclass(frozen=True, slots=True)
class _Extra:
    """One method of HTTP of an extra action.

    action: the function that `@action` has decorated. handler: the one that answers this method.
    name: in the name of the tool.
    """

    action: Any
    handler: str
    method: str
    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """What users may call it."""
        return tuple({self.action.__name__: None, self.handler: None})


def _extra_actions(viewset: Any, allowed: Sequence[str]) -> Iterator[_Extra]:
    for action in viewset.get_extra_actions():
        mapping = {
            method: handler for method, handler in action.mapping.items() if method in allowed
        }
        for method, handler in mapping.items():
            if method in ("head", "options", "trace"):
                continue
            is_alone = list(mapping.values()).count(handler) == 1
            yield _Extra(action, handler, method, handler if is_alone else f"{handler}_{method}")


def view_endpoints(
    view: Any,
    *,
    methods: Sequence[str] | None,
    naming: Naming,
    url: Sequence[str],
    fixed: Mapping[str, Any],
    route: str | None,
) -> Iterator[Endpoint]:
    """The endpoints of an APIView, or of a function with `@api_view`: one for each method.

    Args:
        view: The class or the function.
        methods: Some of its methods; None for all.
        naming: For the names of the tools.
        url: What its URL captures; without it, what the view cannot do without.
        fixed: Values of captures that are no arguments.
        route: The name of its URL.

    Raises:
        DefinitionError: For methods that it does not have, and for a URL argument that it needs.
    """
    kind: Any = view if isinstance(view, type) else getattr(view, "cls", None)
    if kind is None or not hasattr(kind, "http_method_names"):
        raise DefinitionError(
            f"{getattr(view, '__name__', view)!s} is no view of REST framework: use add_view"
        )
    allowed = [one.lower() for one in kind.http_method_names]
    has = {one: hasattr(kind, one) and one in allowed for one, _ in _METHODS}
    wanted = [one.lower() for one in methods or ()]
    refuse_unknown(f"{kind.__name__} has no method", wanted, [one for one in has if has[one]])
    for method, pattern in _METHODS:
        # PATCH and PUT of one view are one tool, unless both are asked for.
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
    """Whether GET is answered by a list. A view of lists and of single objects tells them apart by
    the argument that looks an object up."""
    if not issubclass(kind, ListModelMixin):
        return False
    return not (issubclass(kind, RetrieveModelMixin) and _lookup(kind) in captured)


def _captured(
    kind: Any, method: str, url: Sequence[str], fixed: Mapping[str, Any]
) -> Sequence[str]:
    """The captures of a view that are arguments: those that were given, or those that it needs."""
    handler = getattr(kind, method)
    needed = _needed(handler)
    default = needed
    if issubclass(kind, _OF_ONE) and not (method == "post" or issubclass(kind, ListModelMixin)):
        default = list(dict.fromkeys([*needed, _lookup(kind)]))
        # Where a method is the project's own, so may be what it looks up.
        if _is_of_rest_framework(handler) and _is_of_rest_framework(kind.get_object):
            needed = default
    if not url:
        return _without(default, fixed)
    missing = [one for one in needed if one not in url and one not in fixed]
    if missing:
        raise DefinitionError(
            f"{kind.__name__}.{method} needs {missing[0]!r} of its URL: add it to url="
        )
    return _without(url, fixed)


def _needed(handler: Any) -> list[str]:
    """The parameters of a handler that have no default: its URL must capture them."""
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


def _lookup(kind: Any) -> str:
    return str(getattr(kind, "lookup_url_kwarg", None) or getattr(kind, "lookup_field", "pk"))


def _is_of_rest_framework(function: Callable[..., Any]) -> bool:
    return str(getattr(function, "__module__", "")).startswith("rest_framework.")


def _basename(viewset: Any, naming: Naming) -> str:
    """The name that a router gives its URLs (`SimpleRouter.get_default_basename`)."""
    model = getattr(getattr(viewset, "queryset", None), "model", None)
    return naming.one if model is None else str(model._meta.object_name).lower()


def _without(names: Sequence[str], fixed: Mapping[str, Any]) -> list[str]:
    return [one for one in dict.fromkeys(names) if one not in fixed]


def _segment(name: str, fixed: Mapping[str, Any]) -> str:
    """A capture as a path for messages has it."""
    return f"/{fixed[name]}" if name in fixed else f"/{{{name}}}"


def _is_plural(name: str) -> bool:
    return re.search(r"[^su]s$", name) is not None


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
