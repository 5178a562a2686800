"""Django's forms as tools: the form validates the arguments, and the result is what it saves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, cast

from asgiref.sync import iscoroutinefunction
from django import forms
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.db import DataError, router, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.openapi.arguments import NamedArguments
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount_django.exposing.form_fields import described, schema_of_field, schema_of_key
from mcp_mount_django.exposing.naming import snake_case, tool_names

_MANY: Final = (forms.MultipleChoiceField, forms.ModelMultipleChoiceField)


_OUT_OF_RANGE: Final = "A value is out of the range that its field can hold."


class _FormArguments(NamedArguments):
    """Arguments that a form validates. There is no view that could authenticate the caller."""

    authenticates = False


@dataclass(frozen=True, slots=True)
class FormTool:
    """A form as a tool.

    Attributes:
        kind: The class of the form.
        handle: Returns the result for the request and the valid form.
        values: Returns further arguments of the form for a request.
        queryset: The rows that a caller may change; None for a form that changes none.
    """

    kind: type[forms.BaseForm]
    handle: Callable[[HttpRequest, Any], Any]
    values: Callable[[HttpRequest], Mapping[str, Any]]
    queryset: Callable[[HttpRequest], QuerySet[Any]] | None

    def __call__(self, request: HttpRequest, arguments: Mapping[str, Any]) -> Any:
        """Fill in the form, and save or handle it.

        Args:
            request: The request of the call.
            arguments: The values of fields, by name.

        Raises:
            ToolError: If the form is invalid.
        """
        given = dict(arguments)
        values = dict(self.values(request))
        if self.queryset is not None:
            values["instance"] = _instance(self.queryset(request), given.pop("pk"))
        form = self.kind(self._data(self.kind(**values), given), **values)
        try:
            is_valid = form.is_valid()
        except (DataError, OverflowError) as error:
            # A key that no column can hold, for which ModelChoiceField queries the database
            # nevertheless.
            raise ToolError(_OUT_OF_RANGE) from error
        if not is_valid:
            raise ToolError("\n".join(_problems(form)))
        return self.handle(request, form)

    def _data(self, page: forms.BaseForm, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a browser would send: the given values, and those that the page already
        shows.
        """
        data: dict[str, Any] = {}
        for name, field in page.fields.items():
            if name in given:
                value = _fitting(name, field, given[name])
            else:
                value = field.prepare_value(page.get_initial_for_field(field, name))
            _put(data, page.add_prefix(name), field, value)
        return data


def tool_of_form(
    kind: Any,
    *,
    update: bool,
    handle: Callable[[HttpRequest, Any], Any] | None,
    form_kwargs: Callable[[HttpRequest], Mapping[str, Any]] | None,
    queryset: Callable[[HttpRequest], QuerySet[Any]] | None,
    exclude: Sequence[str],
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function of a form, and the options of its tool.

    Args:
        kind: The class of the form.
        update: Whether it changes an existing row.
        handle: Handles the valid form; None for its `save()`.
        form_kwargs: Returns further arguments of the form.
        queryset: The rows that a caller may change.
        exclude: Fields that are not arguments.

    Raises:
        DefinitionError: If it is not a form, nothing handles it, or a tool cannot fill in its
            fields.
    """
    if not (inspect.isclass(kind) and issubclass(kind, forms.BaseForm)):
        raise DefinitionError(f"add_form takes a form class, not {kind!r}")
    where: str = kind.__name__
    model: type[Model] | None = getattr(getattr(kind, "_meta", None), "model", None)
    every: Mapping[str, forms.Field] = cast(Any, kind).base_fields
    refuse_unknown(f"{where} has no field", exclude, list(every))
    if (update or queryset is not None) and model is None:
        raise DefinitionError(f"{where}: update= is for a ModelForm, which has a model")
    if queryset is not None and not update:
        raise DefinitionError(f"{where}: queryset= says which rows update=True may change")
    if handle is not None and (iscoroutinefunction(handle) or not callable(handle)):
        raise DefinitionError(
            f"{where}: handle= must be a plain function of the request and the form"
        )
    if handle is None and not hasattr(kind, "save"):
        raise DefinitionError(
            f"{where} has no save(): give handle=, a function of the request and the valid form"
        )
    fields = {
        name: field
        for name, field in every.items()
        if name not in exclude and not field.disabled and _is_fillable(where, name, field)
    }
    properties = {name: schema_of(name, field) for name, field in fields.items()}
    required = [name for name, field in fields.items() if field.required and field.initial is None]
    if update:
        assert model is not None
        key = described(schema_of_key(model._meta.pk), f"The key of the {model._meta.verbose_name}")
        properties = {"pk": key, **properties}
        # Fields that are left out keep their value.
        required = ["pk"]
        queryset = queryset or (lambda request: cast(Any, model)._default_manager.all())
    tool = FormTool(
        kind,
        handle or _save,
        form_kwargs or (lambda request: {}),
        queryset,
    )

    def function(request: HttpRequest, arguments: Mapping[str, Any]) -> Any:
        return tool(request, arguments)

    schema = {"properties": properties, **({"required": required} if required else {})}
    return function, {
        "name": _name(kind, model, update=update),
        "description": _description(kind, model, update=update),
        # The form itself says what is missing: its `__init__` may have changed what is required.
        "input_schema": _FormArguments(schema, ["pk"] if update else ()),
        **_permission(model, update=update),
    }


def schema_of(name: str, field: forms.Field) -> dict[str, Any]:
    """Return the JSON Schema of the argument for a form field.

    Args:
        name: The name of the field.
        field: The field.
    """
    if isinstance(field, forms.JSONField):
        one: dict[str, Any] = {}
    elif isinstance(field, forms.SplitDateTimeField):
        one = {"type": "string", "format": "date-time"}
    else:
        one = schema_of_field(field)
    text = field.help_text or field.label or name.replace("_", " ")
    if isinstance(field, _MANY):
        labels = one.pop("description", "")
        return described({"type": "array", "items": one, "description": labels}, text)
    if not field.required and "type" in one:
        # Null removes an existing value.
        one["type"] = [one["type"], "null"]
        if "enum" in one:
            one["enum"] = [*one["enum"], None]
    if isinstance(field.initial, str | int | float | bool):
        one["default"] = field.initial
    return described(one, text)


def _is_fillable(form: str, name: str, field: forms.Field) -> bool:
    """Whether a tool can fill in a field: not files, nor fields that consist of several."""
    has_parts = isinstance(field, forms.MultiValueField)
    if not isinstance(field, forms.FileField) and (
        not has_parts or isinstance(field, forms.SplitDateTimeField)
    ):
        return True
    if field.required and field.initial is None:
        what = "has parts of its own" if has_parts else "is a file"
        raise DefinitionError(
            f"{form}: the field {name!r} {what}, which no tool can fill: exclude={name!r} leaves "
            "it out, or make another form for tools"
        )
    return False


def _fitting(name: str, field: forms.Field, value: Any) -> Any:
    """Return a value as a browser would send it: fields read texts, and some nothing else.

    Raises:
        ToolError: If a list or an object is given for a single value.
    """
    if value is None:
        return None
    if isinstance(field, forms.JSONField):
        # Strings too, because the form parses JSON.
        return json.dumps(value)
    if not isinstance(field, _MANY):
        if isinstance(value, list | dict):
            raise ToolError(f"{name}: must be one value, not {type(value).__name__}")
        return value if isinstance(field, forms.BooleanField) else str(value)
    if not isinstance(value, list):
        raise ToolError(f"{name}: must be a list")
    if any(one is None or isinstance(one, list | dict) for one in value):
        raise ToolError(f"{name}: must be a list of single values")
    return [str(one) for one in value]


def _put(data: dict[str, Any], name: str, field: forms.Field, value: Any) -> None:
    """Put a value where the widget of a field looks for it."""
    widget: Any = field.widget
    if value is None:
        return
    if hasattr(widget, "decompress"):
        if isinstance(value, str) and isinstance(field, forms.SplitDateTimeField):
            try:
                value = forms.DateTimeField().to_python(value)
            except ValidationError as error:
                raise ToolError("\n".join(f"{name}: {one}" for one in error.messages)) from None
        try:
            parts: Any = widget.decompress(value)
        except OverflowError:
            # The first and last representable days, in another time zone.
            raise ToolError(f"{name}: {_OUT_OF_RANGE}") from None
        for suffix, part in zip(widget.widgets_names, parts, strict=False):
            data[name + suffix] = part
    else:
        data[name] = value


def _problems(form: forms.BaseForm) -> list[str]:
    """Return the errors of a form, each message with its field."""
    return [
        str(message) if name == "__all__" else f"{name}: {message}"
        for name, messages in form.errors.items()
        for message in messages
    ]


def _instance(rows: QuerySet[Any], pk: Any) -> Any:
    try:
        found = rows.filter(pk=pk).first()
    except (ValidationError, ValueError, TypeError, OverflowError, DataError):
        found = None
    if found is None:
        raise ToolError(f"There is no {rows.model._meta.verbose_name} {pk!s}.")
    return found


def _save(request: HttpRequest, form: Any) -> Any:
    """Save a form, and return the key and the text of what it has saved."""
    model = getattr(getattr(form, "_meta", None), "model", None)
    # A form without a model may write with any connection; its `save()` must know which ones need a
    # transaction.
    whole: AbstractContextManager[Any] = (
        nullcontext() if model is None else transaction.atomic(using=router.db_for_write(model))
    )
    try:
        with whole:
            return _told(form.save())
    except (DataError, OverflowError) as error:
        # Values that validators accept and a column does not, such as "\\u0000" in jsonb, or an
        # integer that is too long for SQLite.
        raise ToolError("The database does not accept these values.") from error


def _told(saved: Any) -> Any:
    return {"pk": saved.pk, "text": str(saved)} if isinstance(saved, Model) else saved


def _name(kind: type[forms.BaseForm], model: type[Model] | None, *, update: bool) -> str:
    if model is not None:
        return f"{'update' if update else 'create'}_{tool_names(model)[0]}"
    return snake_case(kind.__name__).removesuffix("_form")


def _description(kind: type[forms.BaseForm], model: type[Model] | None, *, update: bool) -> str:
    own = vars(kind).get("__doc__")
    if own:
        return inspect.cleandoc(own)
    if model is None:
        return f"{snake_case(kind.__name__).removesuffix('_form').replace('_', ' ').capitalize()}."
    what = model._meta.verbose_name
    return (
        f"Change one {what}; fields that are left out keep their value."
        if update
        else f"Create one {what}."
    )


def _permission(model: type[Model] | None, *, update: bool) -> dict[str, Any]:
    if model is None:
        return {}
    codename = get_permission_codename("change" if update else "add", model._meta)
    return {"permission": f"{model._meta.app_label}.{codename}"}
