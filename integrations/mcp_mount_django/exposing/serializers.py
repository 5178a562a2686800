"""JSON Schemas of the serializers of REST framework."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python
from rest_framework import serializers
from rest_framework.schemas.openapi import AutoSchema

from mcp_mount.features import DefinitionError
from mcp_mount_django.exposing.form_fields import (
    described,
    flat_choices,
    labels_of,
    schema_of_key,
)
from mcp_mount_django.exposing.rest_endpoints import Endpoint

_PYTHON_ONLY: Final = re.compile(r"\(\?[aiLmsux-]+[:)]|\(\?P[<=>]|\\A|\(\?\(|\(\?#")
"""Regular expression syntax that other languages lack: clients could not read the schema."""


def serializer_of(endpoint: Endpoint, view: Any, own: Any = None) -> Any:
    """Return the serializer that reads the body of an endpoint; None if the view has none.

    Args:
        endpoint: The endpoint.
        view: A view object for it.
        own: The class of a serializer that the endpoint uses instead of the view's.

    Raises:
        DefinitionError: If it cannot be made without a request of the project.
    """
    partial = endpoint.method == "patch"
    if own is None and not hasattr(view, "get_serializer"):
        own = getattr(view, "serializer_class", None)
        if own is None:
            return None
    context = {"request": view.request, "format": None, "view": view}
    given: Any = view
    ways: tuple[Callable[[], Any], ...] = (
        lambda: given.get_serializer(partial=partial),
        # The context may need what only a request of the project has; the class rarely does.
        lambda: given.get_serializer_class()(partial=partial, context=context),
        lambda: given.serializer_class(partial=partial, context=context),
    )
    if own is not None:
        ways = (lambda: own(partial=partial, context=context),)
    first: Exception | None = None
    for way in ways:
        try:
            serializer = way()
            # Its fields may need it too.
            getattr(serializer, "child", serializer).fields  # noqa: B018
        except Exception as error:
            first = first or error
        else:
            return serializer
    if own is None and _names_none(view):
        return None
    raise DefinitionError(
        f"its serializer cannot be made without a request ({type(first).__name__}: {first}): "
        "declare its fields with schema="
    )


def body_schema(serializer: Any) -> dict[str, Any]:
    """Return the schema of a serializer's input."""
    if isinstance(serializer, serializers.ListSerializer):
        return {"type": "array", "items": body_schema(serializer.child)}
    if not isinstance(serializer, serializers.Serializer):
        return {}
    whole: dict[str, Any] = _Mapper().map_serializer(serializer)
    return whole


def answer_schema(serializer: Any) -> dict[str, Any] | None:
    """Return the schema of a serializer's output; None if it is unknown."""
    if not isinstance(serializer, serializers.Serializer):
        return None
    whole: dict[str, Any] = _AnswerMapper().map_serializer(serializer)
    return whole


def _names_none(view: Any) -> bool:
    """Whether the author of a view gave it no serializer at all."""
    from rest_framework.generics import GenericAPIView

    own = getattr(type(view), "get_serializer_class", None)
    return (
        getattr(view, "serializer_class", None) is None
        and own is GenericAPIView.get_serializer_class
    )


class _Mapper(AutoSchema):  # type: ignore[misc]
    """Maps the fields that a client may write."""

    def map_serializer(self, serializer: Any) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] = []
        for field in serializer.fields.values():
            if isinstance(field, serializers.HiddenField) or not self.has(field):
                continue
            name = self.get_field_name(field)
            properties[name] = self._of(field)
            if self.is_required(field, serializer):
                required.append(name)
        whole: dict[str, Any] = {"type": "object", "properties": properties}
        return {**whole, "required": required} if required else whole

    def has(self, field: Any) -> bool:
        return not field.read_only

    def is_required(self, field: Any, serializer: Any) -> bool:
        return bool(field.required) and not serializer.partial

    def map_choicefield(self, field: Any) -> dict[str, Any]:
        pairs = flat_choices(field.choices.items())
        values = list(dict.fromkeys(to_jsonable_python(value) for value, _ in pairs))
        kinds = {type(value) for value in values}
        schema: dict[str, Any] = {"enum": values}
        if len(kinds) == 1:
            names = {str: "string", int: "integer", bool: "boolean", float: "number"}
            if (name := names.get(kinds.pop())) is not None:
                schema["type"] = name
        labels = labels_of((value, label) for value, label in pairs if value != "")
        return {**schema, "description": labels} if labels else schema

    def map_field(self, field: Any) -> dict[str, Any]:
        if isinstance(field, serializers.PrimaryKeyRelatedField):
            model = getattr(getattr(field, "queryset", None), "model", None)
            if getattr(field, "pk_field", None) is None and model is not None:
                return schema_of_key(model._meta.pk)
        if isinstance(field, serializers.JSONField):
            return {}
        if isinstance(field, serializers.DictField):
            child = getattr(field, "child", None)
            values = self.map_field(child) if type(child) is not serializers.Field else {}
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        if isinstance(field, serializers.ModelField):
            return {}
        schema: dict[str, Any] = super().map_field(field)
        if isinstance(field, serializers.DecimalField):
            # They do not apply to a text, and 0.1 is not a multiple of 0.01 for most validators.
            schema.pop("multipleOf", None)
            if schema.get("type") == "string":
                schema.pop("maximum", None)
                schema.pop("minimum", None)
        return schema

    def _of(self, field: Any) -> dict[str, Any]:
        schema = self.map_field(field)
        self.map_field_validators(field, schema)
        if schema.get("type") == "string":
            # Bounds of a Decimal that is sent as text.
            for word in ("multipleOf", "maximum", "minimum"):
                schema.pop(word, None)
        if "pattern" in schema:
            schema |= _portable(schema.pop("pattern"))
        schema = described(schema, field.help_text or _label(field))
        if field.default is not serializers.empty and not callable(field.default):
            with contextlib.suppress(PydanticSerializationError):
                schema["default"] = to_jsonable_python(field.default)
        return _nullable(schema) if field.allow_null else schema


class _AnswerMapper(_Mapper):
    """Maps the fields that a client may read."""

    def has(self, field: Any) -> bool:
        return not field.write_only

    def is_required(self, field: Any, serializer: Any) -> bool:
        return False

    def map_field(self, field: Any) -> dict[str, Any]:
        if isinstance(field, serializers.SerializerMethodField | serializers.ReadOnlyField):
            return {}
        if isinstance(field, serializers.ChoiceField):
            return {}  # what is stored may be no choice any more
        return super().map_field(field)

    def _of(self, field: Any) -> dict[str, Any]:
        schema = self.map_field(field)
        return _nullable(schema) if field.allow_null else schema


def _label(field: Any) -> str:
    """Return the label of a field, if it adds anything to the name."""
    label = str(field.label or "")
    name = str(field.field_name).replace("_", " ")
    return "" if label.casefold() == name.casefold() else label


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    own = dict(schema)
    if isinstance(own.get("type"), str):
        own["type"] = [own["type"], "null"]
    if "enum" in own and None not in own["enum"]:
        own["enum"] = [*own["enum"], None]
    return own


def _portable(pattern: str) -> dict[str, str]:
    """Return a pattern that every client can read; nothing if only Python can."""
    plain = re.sub(r"\\[zZ]", "$", pattern)
    return {} if _PYTHON_ONLY.search(plain) else {"pattern": plain}
