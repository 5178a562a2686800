"""Model fields as Python types, and the lookups that a query may use."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from pydantic import Field

from mcp_mount.features import DefinitionError
from mcp_mount.schemas.names import suggestion

_INTEGER: Final = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
_TYPES: Final[tuple[tuple[type[models.Field[Any, Any]], Any], ...]] = (
    (models.BooleanField, bool),
    (models.DecimalField, decimal.Decimal),
    (models.FloatField, float),
    (models.DurationField, datetime.timedelta),
    (models.IntegerField, _INTEGER),
    (models.DateTimeField, datetime.datetime),
    (models.DateField, datetime.date),
    (models.TimeField, datetime.time),
    (models.UUIDField, uuid.UUID),
    (models.CharField, str),
    (models.TextField, str),
    (models.FileField, str),
    (models.FilePathField, str),
    (models.GenericIPAddressField, str),
)
"""The type of a field: that of the first of these classes that it has. Other fields may have any
value.
"""

_TEXT_LOOKUPS: Final = frozenset(
    [
        *("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"),
        *("iexact", "search"),
    ]
)
_PART_LOOKUPS: Final = frozenset(
    [
        *("year", "iso_year", "quarter", "month", "week", "day", "week_day", "iso_week_day"),
        *("hour", "minute", "second"),
    ]
)
_UNSAFE_LOOKUPS: Final = frozenset(["regex", "iregex"])
"""Lookups with which a caller could overload the database."""


@dataclass(frozen=True, slots=True)
class Path:
    """A field of a model or of a related model: "price", "category__name".

    Attributes:
        name: The name that leads to it.
        field: The field.
        lookups: The lookups after the field in the name of a filter.
        is_null: Whether the value may be null.
        about: Its description, if the field alone does not say it.
    """

    name: str
    field: models.Field[Any, Any]
    lookups: Sequence[str]
    is_null: bool
    about: str = ""

    @property
    def description(self) -> str:
        """Return the model's help text for the field, and the meaning of its choices."""
        if self.about:
            return self.about
        text = str(self.field.help_text or self.field.verbose_name).strip()
        labels = dict(self.field.flatchoices)
        choices = [_labelled(value, str(labels[value])) for value in _choices(self.field)]
        return f"{text}: {', '.join(choices)}" if choices else text

    @property
    def value_type(self) -> Any:
        """Return the type of a value that is read."""
        kind = _type(self.field)
        return kind | None if self.is_null and kind is not Any else kind

    @property
    def filter_type(self) -> Any:
        """Return the type of an argument that filters by the field."""
        lookup = self.lookups[-1] if self.lookups else "exact"
        if lookup == "isnull":
            return bool
        if lookup in _PART_LOOKUPS:
            return _INTEGER
        if lookup in _TEXT_LOOKUPS:
            return str
        kind = datetime.date if "date" in self.lookups else _type(self.field)
        choices = _choices(self.field)
        if choices and lookup in ("exact", "in"):
            kind = Literal[tuple(choices)]
        if lookup == "range":
            # Django uses the first two values, and fails for fewer.
            return Annotated[list[kind], Field(min_length=2, max_length=2)]  # type: ignore[valid-type]
        return list[kind] if lookup == "in" else kind  # type: ignore[valid-type]

    def followed_by(self, model: type[models.Model], name: str, lookups: Sequence[str]) -> Path:
        """Return this field with lookups.

        Args:
            model: The model of the query.
            name: The name of the filter.
            lookups: The lookups.

        Raises:
            DefinitionError: If the field does not have a lookup.
        """
        _check_lookups(model, name, self.field, lookups)
        return Path(name, self.field, lookups, self.is_null, self.about)


def path(model: type[models.Model], name: str, *, lookups: bool = False) -> Path:
    """Return the field that a name leads to.

    Args:
        model: The model at which the name begins.
        name: A name such as "category__name".
        lookups: Whether lookups may follow the field.

    Raises:
        DefinitionError: If the name does not exist, or leads to many rows.
    """
    parts, current, is_null = name.split("__"), model, False
    for position, part in enumerate(parts):
        field = _field(current, part, name)
        is_null |= bool(field.null)
        rest = parts[position + 1 :]
        related: Any = field.related_model
        if related is None or not rest or not is_field(related, rest[0]):
            if rest and not lookups:
                raise DefinitionError(f"{_label(model)} has no field {name!r}")
            _check_lookups(model, name, field, rest)
            return Path(name, field, rest, is_null)
        current = related
    raise AssertionError("the last part has no rest")


def _field(model: type[models.Model], part: str, whole: str) -> models.Field[Any, Any]:
    try:
        field: Any = model._meta.pk if part == "pk" else model._meta.get_field(part)
    except FieldDoesNotExist:
        known = [one.name for one in model._meta.get_fields()]
        raise DefinitionError(
            f"{_label(model)} has no field {part!r} (of {whole!r}); {suggestion(part, known)}"
        ) from None
    if not isinstance(field, models.Field) or field.many_to_many:
        raise DefinitionError(f"{_label(model)}: {part!r} (of {whole!r}) leads to many rows")
    found: models.Field[Any, Any] = field
    return found


def is_field(model: Any, part: str) -> bool:
    """Whether a model has a field with a name.

    Args:
        model: The model.
        part: The name; "pk" counts as a field.
    """
    try:
        return part == "pk" or bool(model._meta.get_field(part))
    except FieldDoesNotExist:
        return False


def _check_lookups(
    model: type[models.Model], name: str, field: models.Field[Any, Any], rest: Sequence[str]
) -> None:
    for lookup in rest:
        known = field.get_lookup(lookup) or field.get_transform(lookup)
        # In queries, a relation has the lookups of the field that it refers to.
        if known is None and field.related_model is not None:
            target: Any = field
            known = target.target_field.get_lookup(lookup)
        if known is None:
            raise DefinitionError(f"{_label(model)}: {name!r} has no lookup {lookup!r}")
        if lookup in _UNSAFE_LOOKUPS:
            raise DefinitionError(
                f"{_label(model)}: {name!r} is refused as a filter: it could overload the database"
            )


def _type(field: models.Field[Any, Any]) -> Any:
    if field.related_model is not None:
        relation: Any = field
        return _type(relation.target_field)
    generated = getattr(field, "output_field", None)
    if isinstance(generated, models.Field):
        # A GeneratedField (Django 5) has the type of its expression.
        return _type(generated)
    return next((kind for of, kind in _TYPES if isinstance(field, of)), Any)


def _labelled(value: Any, label: str) -> str:
    """Return a choice with its label, if the label adds anything."""
    same = label.casefold().replace(" ", "_") == str(value).casefold().replace(" ", "_")
    return str(value) if same else f"{value} ({label})"


def _choices(field: models.Field[Any, Any]) -> list[Any]:
    return [value for value, _ in field.flatchoices if isinstance(value, str | int)]


def _label(model: type[models.Model]) -> str:
    return model._meta.label
