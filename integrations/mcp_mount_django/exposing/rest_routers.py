"""The endpoints of routers of Django REST framework: those of the viewsets registered on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mcp_mount.features import DefinitionError
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount_django.exposing.naming import Naming, snake_case
from mcp_mount_django.exposing.rest_endpoints import Endpoint
from mcp_mount_django.exposing.viewsets import captures_of, viewset_endpoints


@dataclass(frozen=True, slots=True)
class _Registered:
    """The arguments of one `router.register` call."""

    prefix: str
    viewset: Any
    basename: str

    def matches(self, word: Any) -> bool:
        if not isinstance(word, str):
            return False
        # The literal text comes first: the brackets of a regex prefix are a character class to
        # fnmatch.
        return word in (self.prefix, self.basename) or fnmatchcase(self.prefix, word)


def router_endpoints(
    router: Any,
    *,
    include: Sequence[str],
    exclude: Sequence[str],
    methods: Sequence[str],
    names: Mapping[str, str],
    url: Sequence[str],
    fixed: Mapping[str, Any],
) -> Iterator[Endpoint]:
    """Yield the endpoints of a router's viewsets that it has URLs for.

    Args:
        router: The router.
        include: Prefixes ("order*") or basenames to expose. By default all.
        exclude: Prefixes or basenames to leave out.
        methods: The HTTP methods, in lower case.
        names: The names for objects, by prefix or basename.
        url: Captures of the URLs before those of the router.
        fixed: Values of captures that are not arguments.

    Raises:
        DefinitionError: If it is not a router, has no viewsets, or a value matches nothing.
    """
    if not all(hasattr(router, one) for one in ("registry", "get_routes", "get_method_map")):
        raise DefinitionError(
            f"add_router takes a router of REST framework, with what is registered there, not "
            f"{router!r}; use add_viewset or add_api_view for views"
        )
    registered = [_Registered(*one) for one in router.registry]
    if not registered:
        raise DefinitionError("nothing is registered on the router yet: call add_router afterwards")
    known = [word for one in registered for word in dict.fromkeys((one.prefix, one.basename))]
    for option, words in (("include", include), ("exclude", exclude), ("names", names)):
        lost = [word for word in words if not any(one.matches(word) for one in registered)]
        refuse_unknown(f"{option}= matches nothing on the router:", lost, known)
    chosen = [
        one
        for one in registered
        if (not include or any(map(one.matches, include))) and not any(map(one.matches, exclude))
    ]
    if not chosen:
        # Each value of include= matches something, so only exclude= can have removed everything.
        raise DefinitionError("exclude= leaves nothing of the router")
    around = [*url, *_captures_around(router)]
    for one, naming in zip(chosen, _namings(chosen, names), strict=True):
        served = _served(router, one.viewset)
        for endpoint in viewset_endpoints(
            one.viewset,
            actions=None,
            naming=naming,
            basename=one.basename,
            url=[*around, *captures_of(one.prefix)],
            fixed=fixed,
            methods=methods,
        ):
            if (endpoint.method, endpoint.action) in served:
                yield endpoint


def _namings(chosen: Sequence[_Registered], names: Mapping[str, str]) -> list[Naming]:
    """Return the names for objects: as the user says, or as their model. If several viewsets have
    one model, their basenames are used, which are unique on a router.
    """
    given = [
        next((name for word, name in names.items() if one.matches(word)), None) for one in chosen
    ]
    found = [Naming.of(one.viewset, name, None) for one, name in zip(chosen, given, strict=True)]
    count = Counter(one.one for one in found)
    for index, one in enumerate(chosen):
        if given[index] is None and count[found[index].one] > 1:
            found[index] = Naming.of(one.viewset, snake_case(one.basename.replace("-", "_")), None)
    taken: dict[str, str] = {}
    for one, naming in zip(chosen, found, strict=True):
        other = taken.setdefault(naming.one, one.prefix)
        if other != one.prefix:
            raise DefinitionError(
                f"the objects of {other!r} and {one.prefix!r} would both be called "
                f"{naming.one!r} in the names of tools: rename some with names={{prefix: "
                "name}"
            )
    return found


def _served(router: Any, viewset: Any) -> Collection[tuple[str, str | None]]:
    """Return the methods and actions that a router has URLs for. A custom router may have fewer
    than the viewset.
    """
    return {
        (method, action)
        for route in router.get_routes(viewset)
        for method, action in router.get_method_map(viewset, route.mapping).items()
    }


def _captures_around(router: Any) -> list[str]:
    """Return what the URLs of a router capture before the prefix, as those of nested routers do."""
    for route in router.routes:
        if hasattr(route, "mapping"):
            return captures_of(route.url.partition("{prefix}")[0])
    return []
