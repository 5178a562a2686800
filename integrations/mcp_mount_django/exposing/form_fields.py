"""Fields of Django's forms as JSON Schemas of the text that is sent for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django import forms
from django.db import models

_TYPES: Final[tuple[tuple[type[forms.Field], Mapping[str, Any]], ...]] = (
    (forms.BooleanField, {"type": "boolean"}),  # NullBooleanField is one
    (forms.UUIDField, {"type": "string", "format": "uuid"}),
    (forms.DateTimeField, {"type": "string", "format": "date-time"}),
    (forms.DateField, {"type": "string", "format": "date"}),
    (forms.TimeField, {"type": "string", "format": "time"}),
    (forms.DurationField, {"type": "string"}),
    (forms.FloatField, {"type": "number"}),
    (forms.DecimalField, {"type": "number"}),
    (forms.IntegerField, {"type": "integer"}),
    (forms.EmailField, {"type": "string", "format": "email"}),
    (forms.URLField, {"type": "string", "format": "uri"}),
)
"""The schema of a field: that of the first of these classes that it has. FloatField and
DecimalField are subclasses of IntegerField.
"""

_MAX_LABELS: Final = 30
"""How many choices are described with their labels."""


def schema_of_field(field: forms.Field) -> dict[str, Any]:
    """Return the schema of one value of a field: its type, choices and bounds."""
    if isinstance(field, forms.ModelChoiceField):
        return _of_key(field)
    if isinstance(field, forms.ChoiceField):
        choices: Any = field.choices
        return schema_of_choices(choices)
    found = next((kind for of, kind in _TYPES if isinstance(field, of)), {"type": "string"})
    schema = dict(found)
    for attribute, word in (
        ("min_value", "minimum"),
        ("max_value", "maximum"),
        ("min_length", "minLength"),
        ("max_length", "maxLength"),
    ):
        limit = getattr(field, attribute, None)
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            schema[word] = limit
    return schema


def schema_of_choices(choices: Iterable[Any]) -> dict[str, Any]:
    """Return the schema of a choice: its values with their types, and their labels as description.

    Args:
        choices: Pairs of value and label, or groups of them, as in Django.
    """
    pairs = [(value, str(label)) for value, label in flat_choices(choices)]
    pairs = [(value, label) for value, label in pairs if value not in ("", None)]
    values = [value for value, _ in pairs]
    if values and all(type(one) is int for one in values):
        schema: dict[str, Any] = {"type": "integer", "enum": values}
    else:
        # The value is sent as text: "True" for True.
        schema = {"type": "string", "enum": [str(one) for one in values]}
    schema["enum"] = list(dict.fromkeys(schema["enum"]))
    if not schema["enum"]:
        return {"type": "string"}
    labels = labels_of(pairs)
    return {**schema, "description": labels} if labels else schema


def flat_choices(choices: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return choices without their groups."""
    flat: list[tuple[Any, Any]] = []
    for value, label in choices:
        if isinstance(label, list | tuple):
            flat += [(one, text) for one, text in label]
        else:
            flat.append((value, label))
    return flat


def labels_of(pairs: Iterable[tuple[Any, Any]]) -> str:
    """Return what choices mean, "1: Low, 2: High"; nothing if the values say it, or there are too
    many.
    """
    told = [(str(value), str(label)) for value, label in pairs]
    says_it = all(
        value.replace("_", " ").replace("-", " ").casefold()
        == label.replace("_", " ").replace("-", " ").casefold()
        for value, label in told
    )
    if says_it or len(told) > _MAX_LABELS:
        return ""
    return ", ".join(f"{value}: {label}" for value, label in told)


def described(schema: Mapping[str, Any], *texts: Any) -> dict[str, Any]:
    """Return a schema with texts put before its own description."""
    words = [str(text).strip().rstrip(".") for text in (*texts, schema.get("description")) if text]
    words = [word for word in dict.fromkeys(words) if word]
    return {**schema, "description": ". ".join(words)} if words else dict(schema)


def schema_of_key(field: Any) -> dict[str, Any]:
    """Return the schema of the values of a model field that others refer to."""
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    if isinstance(field, models.IntegerField | models.AutoField):
        return {"type": "integer"}
    if isinstance(field, models.UUIDField):
        return {"type": "string", "format": "uuid"}
    return {"type": "string"}


def _of_key(field: forms.ModelChoiceField[Any]) -> dict[str, Any]:
    model = field.queryset.model if field.queryset is not None else None
    if model is None:
        return {"type": ["string", "integer"]}
    name = field.to_field_name
    return schema_of_key(model._meta.get_field(name) if name and name != "pk" else model._meta.pk)
