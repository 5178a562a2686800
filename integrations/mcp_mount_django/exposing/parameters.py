"""The query parameters of REST framework's endpoints: filters, search, ordering and pagination."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.pagination import LimitOffsetPagination

from mcp_mount.wire.logs import own_logger
from mcp_mount_django.exposing.bytecode import mentions
from mcp_mount_django.exposing.rest_endpoints import Endpoint

logger = own_logger("mcp_mount")

MAX_PAGE_SIZE: Final = 1000


def parameters_of(endpoint: Endpoint, view: Any, page_size: int | None) -> list[dict[str, Any]]:
    """Return the query parameters of an endpoint that can be determined, in the form of OpenAPI.

    Args:
        endpoint: An endpoint that reads.
        view: A view object for it.
        page_size: The number of rows in lists that the view does not paginate; None for all.
    """
    found: dict[str, dict[str, Any]] = {}
    if endpoint.many or mentions(endpoint.function, "filter_queryset"):
        for one in _of_filters(view):
            found.setdefault(one["name"], one)
    if endpoint.many or mentions(endpoint.function, "paginate_queryset"):
        for one in _of_pages(endpoint, view, page_size):
            found.setdefault(one["name"], one)
    return list(found.values())


def pagination_of(endpoint: Endpoint, page_size: int | None) -> dict[str, Any]:
    """Return the view arguments that limit its lists: none if they are limited already.

    Args:
        endpoint: An endpoint of the view.
        page_size: The number of rows in a list; None for all.
    """
    kind = endpoint.kind
    if page_size is None or not hasattr(kind, "pagination_class"):
        return {}
    if not (endpoint.many or mentions(endpoint.function, "paginate_queryset")):
        return {}
    if not isinstance(inspect.getattr_static(kind, "paginator", None), property):
        return {}  # one of the project's own
    own = endpoint.initkwargs.get("pagination_class", kind.pagination_class)
    if own is None:
        return {"pagination_class": _bounded(LimitOffsetPagination, page_size)}
    size = "default_limit" if issubclass(own, LimitOffsetPagination) else "page_size"
    if getattr(own, size, 0) is None:
        # REST framework's own classes do not paginate if no size is set.
        return {"pagination_class": _bounded(own, page_size)}
    return {}


def queryset_of(view: Any) -> Any:
    """Return the queryset of a view, or at least of its model; None if it is unknown."""
    try:
        return view.get_queryset()
    except Exception:
        # Most failures come from what only a request of the project has (a tenant, a user).
        queryset = getattr(view, "queryset", None)
    if queryset is None:
        try:
            model = getattr(getattr(view.get_serializer_class(), "Meta", None), "model", None)
        except Exception:
            return None
        return None if model is None else model._default_manager.none()
    return queryset


def _bounded(kind: type[Any], page_size: int) -> type[Any]:
    largest = max(page_size, MAX_PAGE_SIZE)
    if issubclass(kind, LimitOffsetPagination):
        limits = {"default_limit": page_size, "max_limit": kind.max_limit or largest}
        return type(kind.__name__, (kind,), limits)
    sizes: dict[str, Any] = {"page_size": page_size}
    if getattr(kind, "page_size_query_param", None) is None:
        sizes |= {"page_size_query_param": "page_size"}
    if getattr(kind, "max_page_size", None) is None:
        sizes |= {"max_page_size": largest}
    return type(kind.__name__, (kind,), sizes)


def _of_filters(view: Any) -> Iterator[dict[str, Any]]:
    queryset = queryset_of(view)
    for kind in getattr(view, "filter_backends", ()):
        backend = kind()
        if hasattr(backend, "get_filterset_class"):
            yield from _of_filterset(backend, view, queryset)
        elif isinstance(backend, OrderingFilter):
            yield from _of_ordering(backend, view, queryset)
        elif isinstance(backend, SearchFilter):
            yield from _of_search(backend, view)
        elif hasattr(backend, "get_schema_operation_parameters"):
            yield from backend.get_schema_operation_parameters(view)


def _of_filterset(backend: Any, view: Any, queryset: Any) -> Iterator[dict[str, Any]]:
    from mcp_mount_django.exposing.filters import UnreadableFilter, filterset_parameters

    try:
        found = list(filterset_parameters(backend, view, queryset))
    except Exception as error:
        logger.warning("%s: its filters cannot be read: %s", type(view).__name__, error)
        return
    for name, parameters in found:
        if isinstance(parameters, UnreadableFilter):
            logger.warning(
                "%s: the filter %r is not an argument of its tools, because it cannot be read: "
                "%s. Declare it with query= if models should use it.",
                type(view).__name__,
                name,
                parameters,
            )
        else:
            yield from parameters


def _of_search(backend: Any, view: Any) -> Iterator[dict[str, Any]]:
    fields = backend.get_search_fields(view, view.request)
    if fields:
        plain = ", ".join(str(one).lstrip("^=@$") for one in fields)
        text = f"Text to search for in {plain}"
        schema = {"type": "string", "description": text}
        yield {"name": backend.search_param, "in": "query", "schema": schema}


def _of_ordering(backend: Any, view: Any, queryset: Any) -> Iterator[dict[str, Any]]:
    try:
        context = {"request": view.request}
        names = [str(one[0]) for one in backend.get_valid_fields(queryset, view, context)]
    except Exception:
        # The default is every field of the serializer, which cannot be made without a request.
        names = []
    items: dict[str, Any] = {"type": "string"}
    if names:
        items["enum"] = [sign + name for name in names for sign in ("", "-")]
    text = "Fields to order by; '-' before a field for descending order"
    yield {
        "name": backend.ordering_param,
        "in": "query",
        "schema": {"type": "array", "items": items, "description": text},
        "style": "form",
        "explode": False,
    }


def _of_pages(endpoint: Endpoint, view: Any, page_size: int | None) -> Iterator[dict[str, Any]]:
    given = pagination_of(endpoint, page_size)
    paginator = given["pagination_class"]() if given else getattr(view, "paginator", None)
    describe = getattr(paginator, "get_schema_operation_parameters", None)
    if describe is not None:
        yield from describe(view)
