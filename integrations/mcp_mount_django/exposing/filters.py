"""The filters of django-filter as query parameters, read from the filterset.

Up to 24.3 the backend described its filters for OpenAPI, without most of their types; since 25.1 it
does not. So the form fields of the filters are read, which also validate the query.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, Final

from django import forms
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django_filters import filters as kinds
from django_filters.fields import BaseCSVField, BaseRangeField, LookupChoiceField
from django_filters.utils import get_model_field
from django_filters.widgets import SuffixedMultiWidget

from mcp_mount_django.exposing.form_fields import (
    described,
    schema_of_choices,
    schema_of_field,
    schema_of_key,
)

_FROM_ROWS: Final = (kinds.AllValuesFilter, kinds.AllValuesMultipleFilter)
"""Filters whose fields query the database when they are created, which is too early at startup."""

_OF_KEYS: Final = (kinds.ModelChoiceFilter, kinds.ModelMultipleChoiceFilter)

_PARTS: Final = (
    "year",
    "iso_year",
    "quarter",
    "month",
    "week",
    "day",
    "week_day",
    "iso_week_day",
    "hour",
)


class UnreadableFilter(Exception):
    """A filter whose parameters cannot be determined."""


def filterset_parameters(
    backend: Any, view: Any, queryset: Any
) -> Iterator[tuple[str, list[dict[str, Any]] | UnreadableFilter]]:
    """Yield the filters of a view, each with its query parameters in the form of OpenAPI.

    Args:
        backend: The filter backend.
        view: The view, with a request.
        queryset: The queryset that it filters; None if it is unknown.
    """
    filterset = _filterset(backend, view, queryset)
    if filterset is None:
        return
    prefix = f"{filterset.form_prefix}-" if getattr(filterset, "form_prefix", None) else ""
    for name, one in filterset.filters.items():
        try:
            yield name, list(_parameters(prefix + name, one))
        except UnreadableFilter as error:
            yield name, error
        except Exception as error:
            yield name, UnreadableFilter(f"{type(error).__name__}: {error}")


def _filterset(backend: Any, view: Any, queryset: Any) -> Any:
    try:
        return backend.get_filterset(view.request, queryset, view)
    except Exception:
        # Its own `__init__` may need what only a real request has. The class has the filters as
        # well.
        kind = backend.get_filterset_class(view, queryset)
        if kind is None:
            return None
        filters = deepcopy(kind.base_filters)
        for one in filters.values():
            one.model = kind._meta.model if queryset is None else queryset.model
        return SimpleNamespace(filters=filters)


def _parameters(name: str, one: Any) -> Iterator[dict[str, Any]]:
    required = bool(one.extra.get("required"))
    if isinstance(one, _FROM_ROWS):
        schema = described(_of_model(one) or {"type": "string"}, _label(one))
        many = isinstance(one, kinds.AllValuesMultipleFilter)
        yield _parameter(name, _several(schema) if many else schema, required)
        return
    try:
        field = one.field
    except Exception:
        # Its rows may be a function of a request, which needs a tenant, for example; its keys are
        # not.
        known = _of_model(one) if isinstance(one, _OF_KEYS) else None
        if known is None:
            raise
        many = isinstance(one, kinds.ModelMultipleChoiceFilter)
        schema = described(known, _label(one))
        yield _parameter(name, _several(schema) if many else schema, required)
        return
    text = one.extra.get("help_text") or _label(one)
    if isinstance(field, forms.MultiValueField):
        names = list(_names_of_parts(name, field))
        for part, inner in zip(names, field.fields, strict=True):
            schema = schema_of_field(inner)
            if isinstance(field, LookupChoiceField) and inner is field.fields[0]:
                schema = {**schema, **(_of_model(one) or {})}
            yield _parameter(part, described(schema, text), required and part == names[0])
        return
    if isinstance(field, BaseCSVField):
        items = _of_value(field, one)
        whole = _several(described(items))
        if isinstance(field, BaseRangeField):
            whole |= {"minItems": 2, "maxItems": 2}
        yield _parameter(name, described(whole, _label(one)), required, separated=True)
        return
    if isinstance(field, forms.MultipleChoiceField | forms.ModelMultipleChoiceField):
        yield _parameter(name, described(_several(_of_value(field, one)), text), required)
        return
    if isinstance(field, forms.FileField):
        raise UnreadableFilter("a query cannot carry a file")
    yield _parameter(name, described(_of_value(field, one), text), required)


def _names_of_parts(name: str, field: forms.MultiValueField) -> Iterator[str]:
    widget: Any = field.widget
    if isinstance(widget, SuffixedMultiWidget):
        for suffix in widget.suffixes:
            yield widget.suffixed(name, suffix)
    elif hasattr(widget, "widgets_names"):
        for suffix in widget.widgets_names:
            yield name + suffix
    else:
        raise UnreadableFilter(
            f"{type(widget).__name__} reads several parameters with names of its own"
        )


def _of_value(field: forms.Field, one: Any) -> dict[str, Any]:
    """Return the schema of one value: an integer for a number of an integer field."""
    if isinstance(field, forms.ModelChoiceField):
        return _with_null(schema_of_field(field), field)
    if isinstance(field, forms.ChoiceField):
        choices: Any = field.choices
        return schema_of_choices(choices)
    if isinstance(field, forms.DecimalField):
        return {**schema_of_field(field), **(_of_model(one) or {})}
    schema = schema_of_field(field)
    if schema == {"type": "string"} and one.lookup_expr in ("exact", "in"):
        # django-filter reads some as plain text; their column still has only its choices.
        choices = getattr(_model_field(one), "flatchoices", ())
        return schema_of_choices(choices) if choices else schema
    return schema


def _with_null(schema: dict[str, Any], field: Any) -> dict[str, Any]:
    if getattr(field, "null_label", None) is None:
        return schema
    return described(schema, f"{field.null_value!r} for those without one")


def _of_model(one: Any) -> dict[str, Any] | None:
    """Return the type of the model field that a filter compares with, if it is an
    integer or a key.
    """
    if str(one.lookup_expr).rpartition("__")[2] in _PARTS:
        return {"type": "integer"}
    field = _model_field(one)
    if isinstance(field, models.IntegerField | models.AutoField | models.ForeignKey):
        schema = schema_of_key(field)
        return schema if schema["type"] == "integer" else None
    return None


def _model_field(one: Any) -> Any:
    """Return the model field that a filter compares with; None if it compares another value."""
    model = getattr(one, "model", None)
    if model is None or not one.field_name or one.method is not None:
        return None
    try:
        return get_model_field(model, one.field_name)
    except FieldDoesNotExist:
        return None


def _label(one: Any) -> str:
    try:
        return str(one.label or "")
    except Exception:
        # Derived from the model and the field, which a filter with a method need not have.
        return ""


def _several(items: dict[str, Any]) -> dict[str, Any]:
    description = {"description": items.pop("description")} if "description" in items else {}
    return {"type": "array", "items": items, **description}


def _parameter(
    name: str, schema: dict[str, Any], required: bool, *, separated: bool = False
) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    if required:
        made["required"] = True
    if separated:
        # One parameter with commas, and not one for each value.
        made |= {"style": "form", "explode": False}
    return made
