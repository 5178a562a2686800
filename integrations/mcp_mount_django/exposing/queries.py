"""Models as read-only tools: one that finds rows, and one that gets a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from pydantic import Field, create_model

from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.schemas.permissions import Permission
from mcp_mount_django.exposing.columns import ALL, Columns, annotated, many_filter, many_related
from mcp_mount_django.exposing.fields import Path, path
from mcp_mount_django.exposing.naming import plural_of, tool_names

_VIEW: Final = "view permission"
_READ_ONLY: Final = {"readOnlyHint": True}


class ModelQuery:
    """A model that callers may query. Subclass it, and register the class with `server.register`.

    It adds the tools `find_…` (search, filters, ordering, pages) and `get_…`. The docstring of the
    class describes them.

    Attributes:
        model: The model.
        fields: What is returned of a row: fields, "category__name" for a related field, "tags" or
            "tags__name" for a list of related values, "get_kind_display" for the label of a choice,
            properties of the model, annotations; "__all__" for all fields of the model.
        annotations: Expressions with which each row is annotated, by name.
        filters: Arguments that filter, with lookups: "sku", "price__lte",
            "category__name__icontains", "tags__name". A filter with the name of an argument of the
            tool (`page`, `search`, `order_by`) is called "page__exact".
        search: Fields that are searched for a text.
        ordering: Fields to order by; the first one is the default.
        page_size: The number of rows in a page.
        name: The singular in the names of the tools. The default is the name of the model.
        plural: The plural in the names of the tools.
        detail: Whether there is a `get_…` tool.
        permission: The permission of the tools, also as a method of the request. The default is
            Django's permission to view the model; None makes the tools public.
    """

    model: ClassVar[type[Model]]
    fields: ClassVar[Sequence[str] | str]
    annotations: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    filters: ClassVar[Sequence[str]] = ()
    search: ClassVar[Sequence[str]] = ()
    ordering: ClassVar[Sequence[str]] = ()
    page_size: ClassVar[int] = 50
    name: ClassVar[str | None] = None
    plural: ClassVar[str | None] = None
    detail: ClassVar[bool] = True
    permission: ClassVar[Permission] = _VIEW

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the caller may see. Override it to restrict them.

        Args:
            request: The request of the call, with its user.
        """
        rows: QuerySet[Any] = self.model._default_manager.all()
        return rows


def tools_of(query: ModelQuery) -> Iterator[tuple[Callable[..., Any], Mapping[str, Any]]]:
    """Yield the functions of a query, each with the options of its tool.

    Args:
        query: An instance of the class.

    Raises:
        DefinitionError: If the class has no model, or a field does not exist.
    """
    kind = type(query)
    if not getattr(kind, "model", None) or not getattr(kind, "fields", None):
        raise DefinitionError(f"{kind.__name__} needs a model and fields")
    _check_attributes(kind)
    options = query.model._meta
    permission = _permission(query)
    if permission == _VIEW:
        permission = f"{options.app_label}.{get_permission_codename('view', options)}"
    description = inspect.getdoc(kind) if kind.__doc__ else f"{options.verbose_name_plural}."
    shared = {"annotations": _READ_ONLY, "permission": permission}
    columns = Columns(query.model, query.fields, query.annotations)
    singular, plural = tool_names(query.model)
    if query.name:
        singular, plural = query.name, plural_of(query.name)
    plural = query.plural or plural
    yield (
        _find(query, columns),
        {
            **shared,
            "name": f"find_{plural}",
            "description": f"Find {description}" if not kind.__doc__ else description,
        },
    )
    if query.detail:
        text = f"Get one of the {options.verbose_name_plural} by its key."
        yield _get(query, columns), {**shared, "name": f"get_{singular}", "description": text}


def _check_attributes(kind: type[ModelQuery]) -> None:
    """Raise DefinitionError for an attribute that resembles one of ours, and for a single name
    where several are expected. A misspelt attribute would silently not filter, or not protect.
    """
    ours = [name for name in vars(ModelQuery) if not name.startswith("_")]
    ours += ["model", "fields"]
    for base in kind.__mro__[: kind.__mro__.index(ModelQuery)]:
        for name in vars(base):
            near = get_close_matches(name, ours, n=1, cutoff=0.75)
            if near and name not in ours and not name.startswith("_"):
                raise DefinitionError(
                    f"{kind.__name__} has no option {name!r}; did you mean {near[0]!r}?"
                )
    for name in ("fields", "filters", "search", "ordering"):
        value = getattr(kind, name)
        if isinstance(value, str) and not (name == "fields" and value == ALL):
            raise DefinitionError(f"{kind.__name__}: {name} must be a list of names, not {value!r}")


def _permission(query: ModelQuery) -> Permission:
    """Return the permission of a query. A function that is assigned to the class gets no `self`."""
    assigned = inspect.getattr_static(query, "permission")
    if inspect.isfunction(assigned) and len(inspect.signature(assigned).parameters) == 1:
        return assigned
    return query.permission


def _find(query: ModelQuery, columns: Columns) -> Callable[..., Any]:
    own = ["page", *(["search"] if query.search else ()), *(["order_by"] if query.ordering else ())]
    filters = _filters(query, own)
    annotations = annotated(query.model, query.annotations)
    for name in (*query.search, *query.ordering):
        if name not in annotations:
            path(query.model, name)
    if query.page_size < 1:
        raise DefinitionError(f"{type(query).__name__}: page_size must be at least 1")
    row: Any = columns.row_type
    page_type = create_model(
        f"{query.model.__name__}Page",
        items=(list[row], ...),
        total=(int, Field(description="How many there are on all pages")),
        page=(int, ...),
        pages=(int, ...),
    )

    many = {name for name, one in filters.items() if many_related(query.model, one.name)}

    def find(
        request_: HttpRequest,
        search: str = "",
        order_by: str | None = None,
        page: int = 1,
        **given: Any,
    ) -> Any:
        every = _every(query, request_)
        asked = {name: value for name, value in given.items() if value is not None}
        # Pages need a stable order.
        order = [order_by or (query.ordering[0] if query.ordering else "pk"), "pk"]
        start = (page - 1) * query.page_size
        try:
            rows = every.filter(**{name: asked[name] for name in asked.keys() - many})
            if related := {name: asked[name] for name in asked.keys() & many}:
                # A row that matches twice is returned once.
                base: Any = query.model._base_manager.using(rows.db)
                rows = rows.filter(pk__in=base.filter(**related).values("pk"))
            for word in search.split():
                rows = rows.filter(_any(query.search, word))
            total = rows.count()
            found = rows.order_by(*order)[start : start + query.page_size]
            items = columns.rows(found, every)
        except (ValidationError, ValueError, OverflowError, DataError) as error:
            raise ToolError(f"These filters cannot be used: {error}") from None
        pages = -(-total // query.page_size)
        return {"items": items, "total": total, "page": page, "pages": pages}

    # No field has this name, because none ends in an underscore.
    parameters: list[tuple[str, Any, Any]] = [("request_", HttpRequest, inspect.Parameter.empty)]
    if query.search:
        words = f"Text to search for in {', '.join(query.search)}"
        parameters.append(("search", Annotated[str, Field(description=words)], ""))
    parameters += [(name, _optional(one), None) for name, one in filters.items()]
    if query.ordering:
        both = [sign + name for name in query.ordering for sign in ("", "-")]
        choice: Any = Literal[tuple(both)]
        kind = Annotated[choice, Field(description="'-' for descending")]
        parameters.append(("order_by", kind, query.ordering[0]))
    parameters.append(("page", Annotated[int, Field(ge=1, le=10**6)], 1))
    return _signed(find, parameters, page_type)


def _get(query: ModelQuery, columns: Columns) -> Callable[..., Any]:
    key = path(query.model, "pk")

    def get(request_: HttpRequest, pk: Any) -> Any:
        every = _every(query, request_)
        try:
            found = columns.rows(every.filter(pk=pk).order_by("pk")[:1], every)
        except (ValidationError, ValueError, OverflowError, DataError):
            found = []
        if not found:
            raise ToolError(f"There is no {query.model._meta.verbose_name} {pk!s}.")
        return found[0]

    key_type: Any = key.filter_type
    kind = Annotated[key_type, Field(description=key.description)]
    empty = inspect.Parameter.empty
    parameters = [("request_", HttpRequest, empty), ("pk", kind, empty)]
    return _signed(get, parameters, columns.row_type)


def _every(query: ModelQuery, request: HttpRequest) -> QuerySet[Any]:
    """Return all rows that a caller may see."""
    rows = query.get_queryset(request)
    return rows.annotate(**query.annotations) if query.annotations else rows


def _filters(query: ModelQuery, own: Sequence[str]) -> dict[str, Path]:
    """Return the filters by the names of their arguments, which differ from the tool's own."""
    annotations = annotated(query.model, query.annotations)
    found: dict[str, Path] = {}
    for name in query.filters:
        first, _, rest = name.partition("__")
        if first in annotations:
            one = annotations[first].followed_by(
                query.model, name, rest.split("__") if rest else ()
            )
        else:
            one = many_filter(query.model, name) or path(query.model, name, lookups=True)
        argument = f"{name}__exact" if name in own else name
        if argument in found:
            raise DefinitionError(f"{type(query).__name__}: the filter {name!r} is given twice")
        found[argument] = one
    return found


def _any(fields: Sequence[str], word: str) -> Q:
    """Return a condition: any of some fields contains a text."""
    whole = Q()
    for name in fields:
        whole |= Q(**{f"{name}__icontains": word})
    return whole


def _optional(one: Path) -> Any:
    lookups = " ".join(one.lookups)
    description = f"{one.description} ({lookups})" if lookups else one.description
    return Annotated[one.filter_type | None, Field(description=description)]


def _signed(
    function: Callable[..., Any], parameters: Sequence[tuple[str, Any, Any]], returned: Any
) -> Callable[..., Any]:
    """Return a function with the signature from which its tool is made."""
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
            )
            for name, annotation, default in parameters
        ],
        return_annotation=returned,
    )
    return function
