"""What a query returns of a row: fields, related fields, annotations, properties and labels."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, Final, get_type_hints

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import models
from django.db.models import Model, QuerySet
from django.utils.functional import cached_property as django_cached_property
from pydantic import Field, TypeAdapter
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from mcp_mount.features import DefinitionError
from mcp_mount_django.exposing.fields import Path, is_field, path

ALL: Final = "__all__"
"""Stands for all fields of the model, as in Django's forms."""

_PROPERTIES: Final = (property, cached_property, django_cached_property)


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a row.

    Attributes:
        name: The name of the value.
        value_type: Its type, for the schema.
        description: Its description, for the schema.
        source: Its name in `values()`; None if it is not read from there.
        many: The path to the values of a relation to many rows.
        of_instance: Reads it from an instance of the model.
        convert: Converts it to a value that JSON has.
    """

    name: str
    value_type: Any
    description: str
    source: str | None = None
    many: str | None = None
    of_instance: Callable[[Any], Any] | None = None
    convert: Callable[[Any], Any] | None = None


class Columns:
    """The columns of a query.

    Args:
        model: The model.
        names: The names of the columns.
        annotations: Expressions with which each row is annotated, by name.

    Raises:
        DefinitionError: If a name does not exist.
    """

    def __init__(
        self, model: type[Model], names: Sequence[str] | str, annotations: Mapping[str, Any]
    ) -> None:
        self._model = model
        self._annotated = annotated(model, annotations)
        every = _all_names(model) if names == ALL else names
        self._columns = [self._column(name) for name in every]
        sources = [one.source for one in self._columns if one.source is not None]
        self._sources = list(dict.fromkeys([*sources, "pk"]))

    @cached_property
    def row_type(self) -> Any:
        """Return the type of a row. It is not a pydantic model, because those reserve names
        (`copy`).
        """
        shown = {
            one.name: Annotated[one.value_type, Field(description=one.description)]
            for one in self._columns
        }
        return TypedDict(self._model.__name__, shown)  # type: ignore[operator]

    def rows(self, found: QuerySet[Any], every: QuerySet[Any]) -> list[dict[str, Any]]:
        """Return the columns of the rows that were found.

        Args:
            found: The rows, in order.
            every: All rows that the caller may see.
        """
        values = list(found.values(*self._sources))
        keys = [one["pk"] for one in values]
        many = {one.name: self._many(one, keys, found.db) for one in self._columns if one.many}
        instances: dict[Any, Any] = {}
        if any(one.of_instance for one in self._columns):
            instances = {one.pk: one for one in every.filter(pk__in=keys)}
        rows = []
        for row in values:
            shown: dict[str, Any] = {}
            for column in self._columns:
                if column.source is not None:
                    value = row[column.source]
                elif column.many is not None:
                    value = many[column.name].get(row["pk"], [])
                else:
                    assert column.of_instance is not None
                    value = column.of_instance(instances.get(row["pk"]))
                shown[column.name] = value if column.convert is None else column.convert(value)
            rows.append(shown)
        return rows

    def _many(self, column: Column, keys: Sequence[Any], db: str) -> dict[Any, list[Any]]:
        """Return the values of a relation to many rows, for each of some rows."""
        assert column.many is not None
        relation = column.many.partition("__")[0]
        manager: Any = self._model._base_manager
        pairs = manager.using(db).filter(pk__in=keys, **{f"{relation}__isnull": False})
        found: dict[Any, list[Any]] = {}
        for key, value in pairs.order_by(f"{relation}__pk").values_list("pk", column.many):
            found.setdefault(key, []).append(value)
        return found

    def _column(self, name: str) -> Column:
        if name in self._annotated:
            return _stored(name, self._annotated[name])
        if (relation := many_related(self._model, name)) is not None:
            rest = name.partition("__")[2]
            inner = path(relation, rest or "pk")
            convert = _conversion(inner.field)
            return Column(
                name,
                list[inner.value_type],  # type: ignore[name-defined]
                described(inner, self._model._meta.get_field(name.partition("__")[0])),
                many=name,
                convert=None if convert is None else partial(_each, convert),
            )
        if name.startswith("get_") and name.endswith("_display"):
            chosen = path(self._model, name[len("get_") : -len("_display")])
            labels = {value: str(label) for value, label in chosen.field.flatchoices}
            if labels:
                return Column(
                    name,
                    str | None if chosen.is_null else str,
                    f"{chosen.field.verbose_name}, in words",
                    source=chosen.name,
                    convert=lambda value: labels.get(value, None if value is None else str(value)),
                )
        found = inspect.getattr_static(self._model, name, None)
        if isinstance(found, _PROPERTIES):
            return _of_property(name, found)
        return _stored(name, path(self._model, name))


def annotated(model: type[Model], annotations: Mapping[str, Any]) -> dict[str, Path]:
    """Return the annotations of a query, as fields.

    Args:
        model: The model of the query.
        annotations: The expressions, by name.

    Raises:
        DefinitionError: If the model cannot have an annotation, or its type is unknown.
    """
    found = {}
    for name, expression in annotations.items():
        try:
            query: Any = model._default_manager.annotate(**{name: expression}).query
            field = query.annotations[name].output_field
        except (FieldError, ValueError, TypeError, AttributeError) as error:
            raise DefinitionError(
                f"{model._meta.label} cannot be annotated with {name!r}: {error}"
            ) from error
        if not field.verbose_name:
            field = field.clone()
            field.verbose_name = name.replace("_", " ")
        found[name] = Path(name, field, (), True)
    return found


def many_related(model: type[Model], name: str) -> type[Model] | None:
    """Return the model that a many-to-many field refers to, if a path begins with one.

    Args:
        model: The model at which the path begins.
        name: The path.
    """
    try:
        field: Any = model._meta.get_field(name.partition("__")[0])
    except FieldDoesNotExist:
        return None
    if not isinstance(field, models.Field) or not field.many_to_many:
        return None
    related: Any = field.related_model
    found: type[Model] = related
    return found


def many_filter(model: type[Model], name: str) -> Path | None:
    """Return a filter by a many-to-many field: "tags", "tags__in", "tags__name__icontains".

    Args:
        model: The model of the query.
        name: The name of the filter.

    Returns:
        The field that it filters by; None if it does not begin with a many-to-many field.
    """
    related = many_related(model, name)
    if related is None:
        return None
    relation, _, rest = name.partition("__")
    if not rest or is_field(related, rest.partition("__")[0]):
        inner = path(related, rest or "pk", lookups=True)
    else:
        # The rest is a lookup of the relation itself.
        inner = path(related, f"pk__{rest}", lookups=True)
    field: Any = model._meta.get_field(relation)
    return Path(name, inner.field, inner.lookups, inner.is_null, described(inner, field))


def described(inner: Path, relation: Any) -> str:
    """Return the description of a value of a relation to many rows.

    Args:
        inner: The field that is returned of each row.
        relation: The many-to-many field.
    """
    text = str(relation.help_text or relation.verbose_name).strip()
    return text if inner.field.primary_key else f"{text}: {inner.description}"


def _all_names(model: type[Model]) -> list[str]:
    options = model._meta
    return [one.name for one in (*options.concrete_fields, *options.many_to_many)]


def _stored(name: str, found: Path) -> Column:
    convert, kind = _conversion(found.field), found.value_type
    if isinstance(found.field, models.BinaryField):
        kind = str | None if found.is_null else str
    return Column(name, kind, found.description, source=name, convert=convert)


def _of_property(name: str, found: Any) -> Column:
    function = getattr(found, "fget", None) or getattr(found, "func", None)
    try:
        kind = get_type_hints(function).get("return", Any)
        TypeAdapter(kind)
    except Exception:
        # The annotation is imported for type checkers only, or is not a type for JSON.
        kind = Any
    text = (inspect.getdoc(function) or name.replace("_", " ")).partition("\n")[0]
    return Column(
        name,
        kind,
        text,
        of_instance=lambda instance: getattr(instance, name),
        convert=_jsonable if kind is Any else None,
    )


def _conversion(field: models.Field[Any, Any]) -> Callable[[Any], Any] | None:
    """Return the function that converts values of a field to JSON; None if none is needed."""
    target: Any = field
    while target.related_model is not None:
        target = target.target_field
    if isinstance(target, models.BinaryField):
        return _base64
    known = type(target).__module__.startswith("django.db.models.")
    if isinstance(target, models.JSONField) or (known and not hasattr(target, "from_db_value")):
        return None
    return partial(_prepared, target)


def _prepared(field: models.Field[Any, Any], value: Any) -> Any:
    """Return a value of a custom field as it is stored, if that is JSON, or else its text."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    return _jsonable(field.get_prep_value(value), value)


def _jsonable(value: Any, otherwise: Any = None) -> Any:
    try:
        return to_jsonable_python(value, bytes_mode="base64")
    except Exception:
        return str(value if otherwise is None else otherwise)


def _base64(value: Any) -> str | None:
    return None if value is None else base64.b64encode(bytes(value)).decode()


def _each(convert: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    return [convert(one) for one in values]
