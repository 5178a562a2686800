"""The endpoints of viewsets of Django REST framework, as its routers see them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp_mount.openapi.operations import METHODS
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount_django.exposing.naming import Naming
from mcp_mount_django.exposing.rest_endpoints import Endpoint, lookup_of, sentence, without

_ROUTES: Final = (
    ("list", "get", "list_{plural}", False),
    ("create", "post", "create_{name}", False),
    ("retrieve", "get", "get_{name}", True),
    ("partial_update", "patch", "update_{name}", True),
    ("update", "put", "replace_{name}", True),
    ("destroy", "delete", "delete_{name}", True),
)
"""The standard actions of a viewset: HTTP method, tool, and whether they are for one object."""


_GROUP: Final = re.compile(r"\(\?P<(\w+)>|<(?:[^:<>]+:)?(\w+)>")
"""A capture in the `url_path` of an action, as a regular expression or a path converter."""


def viewset_endpoints(
    viewset: Any,
    *,
    actions: Sequence[str] | None,
    naming: Naming,
    basename: str | None,
    url: Sequence[str],
    fixed: Mapping[str, Any],
    methods: Sequence[str] = METHODS,
) -> Iterator[Endpoint]:
    """Yield the endpoints of a viewset: its standard actions and its extra actions.

    Args:
        viewset: The class.
        actions: The names of some; None for all.
        naming: For the names of the tools.
        basename: The basename in its router.
        url: What its URLs capture before the viewset's own part.
        fixed: Values of captures that are not arguments.
        methods: The HTTP methods, in lower case.

    Raises:
        DefinitionError: If an action does not exist.
    """
    allowed = [one.lower() for one in viewset.http_method_names if one.lower() in methods]
    standard = [route for route in _ROUTES if hasattr(viewset, route[0]) and route[1] in allowed]
    extra = list(_extra_actions(viewset, allowed))
    basename = basename or _basename(viewset, naming)
    known = [*(route[0] for route in standard), *(name for one in extra for name in one.names)]
    refuse_unknown(f"{viewset.__name__} has no action", actions or (), known)
    lookup = lookup_of(viewset)
    outer = [*url] or list(getattr(viewset, "parent_lookup_kwargs", None) or ())
    # One of the two is enough, unless both are requested.
    changes = any(route[0] == "partial_update" for route in standard)
    where = "".join(_segment(one, fixed) for one in outer) + f"/{naming.several}"
    for action, method, pattern, of_one in standard:
        if action not in actions if actions is not None else action == "update" and changes:
            continue
        own = without([*outer, lookup] if of_one else outer, fixed)
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
            url=without([*outer, *lookups, *captures_of(one.action.url_path)], fixed),
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


def captures_of(pattern: str) -> list[str]:
    """Return the names that a part of a URL pattern captures, as a regular expression or a path."""
    return [first or second for first, second in _GROUP.findall(pattern)]


@dataclass(frozen=True, slots=True)
class _Extra:
    """One HTTP method of an extra action.

    Attributes:
        action: The function that `@action` has decorated.
        handler: The function that handles this method.
        name: The name in the name of the tool.
    """

    action: Any
    handler: str
    method: str
    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which users may select it."""
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


def _basename(viewset: Any, naming: Naming) -> str:
    """Return the name that a router gives its URLs (`SimpleRouter.get_default_basename`)."""
    model = getattr(getattr(viewset, "queryset", None), "model", None)
    return naming.one if model is None else str(model._meta.object_name).lower()


def _segment(name: str, fixed: Mapping[str, Any]) -> str:
    """Return a capture in the form of a path for messages."""
    return f"/{fixed[name]}" if name in fixed else f"/{{{name}}}"
