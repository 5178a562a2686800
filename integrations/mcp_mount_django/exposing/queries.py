"""Models as read-only tools: one that finds rows, one that gets a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Final, Literal

from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.text import slugify
from pydantic import BaseModel, Field, create_model

from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.features.permissions import Permission
from mcp_mount_django.exposing.fields import Path, path

_VIEW: Final = "view permission"
_READ_ONLY: Final = {"readOnlyHint": True}


class ModelQuery:
    """A model that callers may query: subclass it, and register the class with `server.register`.

    It becomes the tools `find_…` (search, filters, order, pages) and `get_…`. The docstring of the
    class describes them.

    model: the model. fields: what is shown of a row, "category__name" for what it refers to.
    filters: arguments that filter, with lookups: "sku", "price__lte", "category__name__icontains".
    search: fields that a word is looked for in. ordering: fields to order by, the first one by
    default. page_size: rows in a page. name, plural: in the names of the tools, by default the
    model's. detail: whether there is a `get_…`. permission: by default Django's permission to view
    the model; None for everybody; also a method of the request.
    """

    model: ClassVar[type[Model]]
    fields: ClassVar[Sequence[str]]
    filters: ClassVar[Sequence[str]] = ()
    search: ClassVar[Sequence[str]] = ()
    ordering: ClassVar[Sequence[str]] = ()
    page_size: ClassVar[int] = 50
    name: ClassVar[str | None] = None
    plural: ClassVar[str | None] = None
    detail: ClassVar[bool] = True
    permission: ClassVar[Permission] = _VIEW

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that the caller may see; override it to narrow them down."""
        rows: QuerySet[Any] = self.model._default_manager.all()
        return rows


def tools_of(query: ModelQuery) -> Iterator[tuple[Callable[..., Any], Mapping[str, Any]]]:
    """The functions of a query, each with the options of its tool.

    Raises DefinitionError for a class without a model, and for fields that it does not have.
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
    row = _row(query)
    plural = query.plural or _identifier(options.verbose_name_plural)
    yield (
        _find(query, row),
        {
            **shared,
            "name": f"find_{plural}",
            "description": f"Find {description}" if not kind.__doc__ else description,
        },
    )
    if query.detail:
        name = query.name or options.model_name
        text = f"Get one of the {options.verbose_name_plural} by its key."
        yield _get(query, row), {**shared, "name": f"get_{name}", "description": text}


def _check_attributes(kind: type[ModelQuery]) -> None:
    """Raise DefinitionError for an attribute that is nearly one of ours, and for one name where
    several are meant: what is misspelt would filter, or guard, nothing."""
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
        if isinstance(value, str):
            raise DefinitionError(f"{kind.__name__}: {name} is a list of names, not {value!r}")


def _permission(query: ModelQuery) -> Permission:
    """Its permission: a function of the request that was assigned is none of `self`."""
    assigned = inspect.getattr_static(query, "permission")
    if inspect.isfunction(assigned) and len(inspect.signature(assigned).parameters) == 1:
        return assigned
    return query.permission


def _row(query: ModelQuery) -> type[BaseModel]:
    """The type of a row, as it is shown."""
    paths = [path(query.model, name) for name in query.fields]
    shown: dict[str, Any] = {
        one.name: (one.value_type, Field(description=one.description)) for one in paths
    }
    return create_model(query.model.__name__, **shown)


def _find(query: ModelQuery, row: type[BaseModel]) -> Callable[..., Any]:
    filters = [path(query.model, name, lookups=True) for name in query.filters]
    for name in (*query.search, *query.ordering):
        path(query.model, name)
    if query.page_size < 1:
        raise DefinitionError(f"{type(query).__name__}: page_size must be at least 1")
    page_type = create_model(
        f"{query.model.__name__}Page",
        items=(list[row], ...),  # type: ignore[valid-type]
        total=(int, Field(description="How many there are on all pages")),
        page=(int, ...),
        pages=(int, ...),
    )

    def find(
        request: HttpRequest,
        search: str = "",
        order_by: str | None = None,
        page: int = 1,
        **given: Any,
    ) -> Any:
        rows = query.get_queryset(request)
        rows = rows.filter(**{name: value for name, value in given.items() if value is not None})
        for word in search.split():
            rows = rows.filter(_any(query.search, word))
        # Pages need an order that is the same each time.
        order = [order_by or (query.ordering[0] if query.ordering else "pk"), "pk"]
        start = (page - 1) * query.page_size
        try:
            total = rows.count()
            items = list(
                rows.order_by(*order).values(*query.fields)[start : start + query.page_size]
            )
        except (ValidationError, ValueError, OverflowError) as error:
            raise ToolError(f"These filters cannot be used: {error}") from None
        pages = -(-total // query.page_size)
        return {"items": items, "total": total, "page": page, "pages": pages}

    parameters: list[tuple[str, Any, Any]] = [("request", HttpRequest, inspect.Parameter.empty)]
    if query.search:
        words = f"Words to find in {', '.join(query.search)}"
        parameters.append(("search", Annotated[str, Field(description=words)], ""))
    parameters += [(one.name, _optional(one), None) for one in filters]
    if query.ordering:
        both = [sign + name for name in query.ordering for sign in ("", "-")]
        choice: Any = Literal[tuple(both)]
        kind = Annotated[choice, Field(description="'-' for descending")]
        parameters.append(("order_by", kind, query.ordering[0]))
    parameters.append(("page", Annotated[int, Field(ge=1, le=10**6)], 1))
    return _signed(find, parameters, page_type)


def _get(query: ModelQuery, row: type[BaseModel]) -> Callable[..., Any]:
    key = path(query.model, "pk")

    def get(request: HttpRequest, pk: Any) -> Any:
        try:
            found = query.get_queryset(request).filter(pk=pk).values(*query.fields).first()
        except (ValidationError, ValueError, OverflowError):
            found = None
        if found is None:
            raise ToolError(f"There is no {query.model._meta.verbose_name} {pk!s}.")
        return found

    key_type: Any = key.filter_type
    kind = Annotated[key_type, Field(description=key.description)]
    empty = inspect.Parameter.empty
    return _signed(get, [("request", HttpRequest, empty), ("pk", kind, empty)], row)


def _any(fields: Sequence[str], word: str) -> Q:
    """Whether any of some fields has a word in it."""
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
    """A function with the signature that its tool is made of."""
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


def _identifier(words: Any) -> str:
    return slugify(str(words)).replace("-", "_")
