"""A plain view as a tool, with a schema that the project declares for it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from pydantic import BaseModel

from mcp_mount.features.names import refuse_unknown
from mcp_mount_django.exposing.captures import CapturedArguments
from mcp_mount_django.exposing.responses import derived, refusal, result_of, result_of_async

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def tool_of_view(
    view: Callable[..., Any],
    schema: type[BaseModel] | Mapping[str, Any] | None,
    *,
    method: str,
    url: Sequence[str],
    as_json: bool,
    limit: Callable[[], int | None],
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function that calls a view, and the options of its tool.

    Args:
        view: The view.
        schema: Its arguments.
        method: Of the request.
        url: The arguments that its URL captures.
        as_json: Whether the others are sent as JSON.
        limit: How many bytes of a response are collected.

    Raises:
        DefinitionError: For URL arguments that the schema does not have, and for a method that is
            none.
    """
    what = getattr(view, "__name__", view)
    refuse_unknown(f"{what}: the URL argument is not in the schema:", url, _names(schema))
    refuse_unknown(f"{what}: method= is no method of HTTP:", [method], _METHODS)
    captures = CapturedArguments(view, url)

    def prepared(request: HttpRequest, given: Mapping[str, Any]) -> tuple[HttpRequest, Any]:
        plain = schema(**given).model_dump(mode="json") if isinstance(schema, type) else given
        captured = captures.of(given)
        rest = {name: value for name, value in plain.items() if name not in captured}
        if method in ("GET", "HEAD", "DELETE"):
            return derived(request, method, request.path, query=rest), captured
        if as_json:
            return derived(request, method, request.path, data=rest), captured
        return derived(request, method, request.path, form=rest), captured

    def call(request: HttpRequest, **given: Any) -> Any:
        own, captured = prepared(request, given)
        try:
            return result_of(view(own, **captured), limit())
        except Exception as error:
            raise refusal(error) or error from None

    async def call_async(request: HttpRequest, **given: Any) -> Any:
        own, captured = prepared(request, given)
        try:
            answer: Awaitable[Any] = view(own, **captured)
            return await result_of_async(await answer, limit())
        except Exception as error:
            raise refusal(error) or error from None

    function: Any = call_async if iscoroutinefunction(view) else call
    empty = inspect.Parameter.empty
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("request", kind, annotation=HttpRequest)]
    options: dict[str, Any] = {}
    if isinstance(schema, type):
        for name, field in schema.model_fields.items():
            default = empty if field.is_required() else field.get_default(call_default_factory=True)
            kind_of_field: Any = field.annotation
            annotation = Annotated[kind_of_field, field]
            parameters.append(inspect.Parameter(name, kind, annotation=annotation, default=default))
    else:
        parameters.append(inspect.Parameter("given", inspect.Parameter.VAR_KEYWORD))
        options["input_schema"] = schema or {"properties": {}, "additionalProperties": False}
    function.__signature__ = inspect.Signature(parameters)
    return function, options


def _names(schema: type[BaseModel] | Mapping[str, Any] | None) -> Sequence[str]:
    if isinstance(schema, type):
        return list(schema.model_fields)
    return list((schema or {}).get("properties", ()))
