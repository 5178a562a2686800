"""A plain view as a tool, with a schema that the project declares for it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from pydantic import BaseModel

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.responses import Answer, value_of_response
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount_django.exposing.captures import CapturedArguments
from mcp_mount_django.exposing.messages import with_messages
from mcp_mount_django.exposing.responses import (
    answer_of,
    answer_of_async,
    derived,
    encoded_pairs,
    login_paths,
)
from mcp_mount_django.exposing.view_urls import Places

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def tool_of_view(
    view: Callable[..., Any],
    schema: type[BaseModel] | Mapping[str, Any] | None,
    *,
    method: str,
    url: Sequence[str],
    as_json: bool,
    redirects: bool | None,
    limit: Callable[[], int | None],
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function that calls a view, and the options of its tool.

    Args:
        view: The view.
        schema: Its arguments.
        method: The HTTP method.
        url: The arguments that its URL captures.
        as_json: Whether to send the other arguments as JSON.
        redirects: Whether a redirect is a success; None to decide by the view.
        limit: The largest response, in bytes.

    Raises:
        DefinitionError: If `url` names arguments that the schema does not have, or omits some that
            the view needs; if the method does not exist; if an argument is an object and not sent
            as JSON; or if JSON is used with a method without a body.
    """
    what = getattr(view, "__name__", view)
    refuse_unknown(f"{what}: the URL argument is not in the schema:", url, _names(schema))
    refuse_unknown(f"{what}: method= is not an HTTP method:", [method], _METHODS)
    _refuse_without_url(what, view, method, url, _names(schema))
    reads = method in ("GET", "HEAD", "DELETE")
    if as_json and reads:
        raise DefinitionError(
            f"{what}: as_json=True sends a body, and {method} has none: the arguments of "
            f"{method} are in the query; use another method, or leave as_json= out"
        )
    if not as_json:
        for name in _nested(schema):
            if name not in url:
                raise DefinitionError(
                    f"{what}: {name!r} is an object, which neither a form nor a query can carry: "
                    "send JSON, with as_json=True and a method with a body"
                )
    captures = CapturedArguments(view, url)

    places = Places(view, method.lower(), url)
    declares = _redirects(view) if redirects is None else redirects
    carrier = f"the {'query' if reads else 'form'} of {what}"

    def prepared(request: HttpRequest, given: Mapping[str, Any]) -> tuple[HttpRequest, Any]:
        plain = schema(**given).model_dump(mode="json") if isinstance(schema, type) else given
        captured = captures.of(given)
        rest = {name: value for name, value in plain.items() if name not in captured}
        place = places.of(request, captured)
        make = partial(derived, request, method, place.path, match=place.match)
        if reads:
            return make(query=encoded_pairs(rest, carrier)), captured
        if as_json:
            return make(body=json.dumps(rest).encode(), content_type="application/json"), captured
        form = encoded_pairs(rest, carrier).encode()
        return make(body=form, content_type="application/x-www-form-urlencoded"), captured

    def value(answer: Answer, path: str) -> Any:
        return value_of_response(
            answer.status,
            answer.headers,
            answer.body,
            login=login_paths(),
            redirects=declares,
            path=path,
        )

    # An argument may be called "request" as well.
    ours = "request"
    while ours in _names(schema):
        ours += "_"

    def call(**given: Any) -> Any:
        request: HttpRequest = given.pop(ours)
        own, captured = prepared(request, given)
        answer = answer_of(view(own, **captured), ResponseBody(limit()), method)
        return with_messages(own, partial(value, answer, own.path_info))

    async def call_async(**given: Any) -> Any:
        request: HttpRequest = given.pop(ours)
        own, captured = prepared(request, given)
        answering: Awaitable[Any] = view(own, **captured)
        answer = await answer_of_async(await answering, ResponseBody(limit()), method)
        return await sync_to_async(with_messages)(own, partial(value, answer, own.path_info))

    function: Any = call_async if iscoroutinefunction(view) else call
    empty = inspect.Parameter.empty
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(ours, kind, annotation=HttpRequest)]
    options: dict[str, Any] = {}
    if isinstance(schema, type):
        for name, field in schema.model_fields.items():
            default = empty if field.is_required() else field.get_default(call_default_factory=True)
            kind_of_field: Any = field.annotation
            annotation = Annotated[kind_of_field, field]
            parameters.append(inspect.Parameter(name, kind, annotation=annotation, default=default))
    elif schema is not None:
        parameters.append(inspect.Parameter("given", inspect.Parameter.VAR_KEYWORD))
        options["input_schema"] = schema
    function.__signature__ = inspect.Signature(parameters)
    return function, options


def _refuse_without_url(
    what: Any, view: Any, method: str, url: Sequence[str], known: Sequence[str]
) -> None:
    """Refuse a view with captures of its URL that `url=` does not name."""
    kind = getattr(view, "view_class", None)
    function = view if kind is None else getattr(kind, method.lower(), None)
    if function is None:
        return
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return
    # A decorator may add arguments of its own, which no URL captures.
    is_decorated = hasattr(function, "__wrapped__")
    for one in parameters[1 if kind is None else 2 :]:
        if (
            one.default is one.empty
            and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
            and one.name not in url
            and (one.name in known or not is_decorated)
        ):
            add = "" if one.name in known else ", and add it to the schema"
            raise DefinitionError(
                f"{what} takes {one.name!r}, which no argument of the tool gives: if its URL "
                f"captures it, name it by url={[*url, one.name]!r}{add}; if its path() or a "
                "decorator gives it, add a view that passes it on"
            )


def _names(schema: type[BaseModel] | Mapping[str, Any] | None) -> Sequence[str]:
    if isinstance(schema, type):
        return list(schema.model_fields)
    return list((schema or {}).get("properties", ()))


def _redirects(view: Any) -> bool:
    """Whether a view is one of Django's form views, which redirect when they are done."""
    kind = getattr(view, "view_class", None)
    return hasattr(kind, "get_success_url") or hasattr(kind, "get_redirect_url")


def _nested(schema: type[BaseModel] | Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the arguments that are objects or lists of objects in a schema."""
    whole = schema.model_json_schema() if isinstance(schema, type) else schema or {}
    definitions = whole.get("$defs", {})
    for name, one in whole.get("properties", {}).items():
        if isinstance(one, Mapping) and _is_nested(one, definitions):
            yield name


def _is_nested(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    reference = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if reference in definitions:
        return _is_nested(definitions[reference], {})
    if schema.get("type") == "object":
        return True
    inner = [schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return any(_is_nested(one, definitions) for one in inner if isinstance(one, Mapping))
