"""Endpoints of Django REST framework as tools: each is described as an operation of OpenAPI, and
called through its own view, with its permissions, throttles, filters and pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from pydantic import TypeAdapter

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.operations import MARK, as_mark
from mcp_mount.openapi.targets import Target
from mcp_mount.protocol.logs import own_logger
from mcp_mount_django.authentication import caller_of
from mcp_mount_django.exposing.captures import CapturedArguments
from mcp_mount_django.exposing.code import only_serializer, reads_body, reads_by_view, takes_several
from mcp_mount_django.exposing.described import Description, Schema
from mcp_mount_django.exposing.endpoints import READS, Endpoint
from mcp_mount_django.exposing.fields import path
from mcp_mount_django.exposing.handwritten import handwritten
from mcp_mount_django.exposing.parameters import pagination_of, parameters_of, queryset_of
from mcp_mount_django.exposing.places import Places
from mcp_mount_django.exposing.responses import answer_of, derived
from mcp_mount_django.exposing.serializers import answer_schema, body_schema, serializer_of

logger = own_logger("mcp_mount")

_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/"


def document_of(endpoint: Endpoint, description: Description) -> Document:
    """The OpenAPI document of one endpoint.

    Raises:
        DefinitionError: For an endpoint that cannot be described without the user.
    """
    components: dict[str, Any] = {}
    made_with = pagination_of(endpoint, description.page_size)
    view = endpoint.instance()
    known = _from_spectacular(endpoint, made_with)
    own = handwritten(endpoint)
    operation: dict[str, Any] = {"responses": {}}
    if known is not None:
        operation, components = known
    elif endpoint.method in READS:
        operation["parameters"] = parameters_of(endpoint, view, description.page_size)
    given = description.schema.get(endpoint.handler)
    body = own.body if given is None else _schema_of(given, components)
    if body is not None:
        operation.pop("requestBody", None)
        if body.keys() - {"type", "title", "description"} and body.get("properties") != {}:
            operation["requestBody"] = _request_body(body, view, endpoint)
    elif endpoint.method not in (*READS, "delete") and known is None:
        found = _body(endpoint, view)
        if found is not None:
            operation["requestBody"] = found
    operation["parameters"] = [*operation.get("parameters", ()), *own.parameters]
    parameters = {
        (one["name"], one["in"]): one
        for one in operation.get("parameters", ())
        if one["in"] != "path"
    }
    asked = description.query.get(endpoint.handler)
    if asked is not None:
        fields = _schema_of(asked, components)
        required = fields.get("required", ())
        for name, schema in fields.get("properties", {}).items():
            one = {"name": name, "in": "query", "schema": schema}
            parameters[name, "query"] = {**one, "required": True} if name in required else one
    operation["parameters"] = [
        *(
            {"name": name, "in": "path", "required": True, **_capture(view, name)}
            for name in endpoint.url
        ),
        *parameters.values(),
    ]
    if not description.output_schemas:
        operation["responses"] = {}
    elif known is None:
        operation["responses"] = _answers(endpoint, view, made_with)
    operation["operationId"] = endpoint.tool
    operation[MARK] = as_mark(
        endpoint.tool,
        operation.get("description") or own.description or endpoint.description,
    )
    document = {
        "openapi": "3.0.3",
        "paths": {endpoint.path: {endpoint.method: operation}},
        "components": {"schemas": components},
    }
    # What a capture may be is known when it is called (`CapturedArguments`).
    wide = "".join(f"/{{{name}:path}}" for name in endpoint.url)
    return Document(document, [wide] if wide else [])


def function_of(endpoint: Endpoint, description: Description, target: Target) -> Callable[..., Any]:
    """The function that calls an endpoint."""
    views = _Views(endpoint, pagination_of(endpoint, description.page_size))
    captures = CapturedArguments(endpoint.kind, endpoint.url)
    places = Places(
        endpoint.kind,
        endpoint.method,
        [*endpoint.url, *endpoint.fixed],
        action=endpoint.action,
        route=endpoint.route,
    )

    def function(request: HttpRequest, arguments: Mapping[str, Any]) -> Any:
        # As the patterns of routers give them: texts.
        own = {name: str(value) for name, value in captures.of(arguments).items()}
        sent = target.request(arguments)
        place = places.of(request, {**endpoint.fixed, **own})
        inner: Any = derived(
            request,
            endpoint.method.upper(),
            place.path,
            query=urlencode(sent.query),
            body=sent.body or b"",
            content_type="" if sent.body is None else sent.content_type,
            headers=sent.headers,
            match=place.match,
        )
        if caller_of(request) is not None:
            # The caller is who the server says; of others the view may find out more.
            inner._force_auth_user = request.user
            inner._force_auth_token = getattr(request, "auth", None)
        view = views.of(place.view)
        response = description.middleware.call(inner, view, (), place.match.kwargs)
        return target.value(answer_of(response, ResponseBody(target.limit())))

    function.__name__ = function.__qualname__ = endpoint.tool
    return function


class _Views:
    """The callable for an endpoint: that of the project's URLs, with what is wrapped around it
    there; where pages are to be added, one of our own in place of a bare one."""

    def __init__(self, endpoint: Endpoint, pages: Mapping[str, Any]) -> None:
        self._endpoint = endpoint
        self._pages = pages

    @cached_property
    def _own(self) -> Callable[..., Any]:
        return self._endpoint.view(**self._pages)

    def of(self, routed: Callable[..., Any] | None) -> Callable[..., Any]:
        """The view to call. routed: that of the project's URLs."""
        if routed is None or (self._pages and _is_same_code(routed, self._own)):
            return self._own
        return routed


def _is_same_code(one: Any, other: Any) -> bool:
    """Whether two views are made by the same functions: whether nothing more is wrapped around one
    of them."""
    codes = [
        (
            getattr(view, "__code__", None),
            getattr(getattr(view, "__wrapped__", None), "__code__", None),
        )
        for view in (one, other)
    ]
    return codes[0] == codes[1]


def _from_spectacular(
    endpoint: Endpoint, made_with: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    # By the class: an object's `schema` would be bound to it.
    schema = getattr(endpoint.kind, "schema", None)
    if not any(one.__module__.startswith("drf_spectacular.") for one in type(schema).__mro__):
        return None
    from mcp_mount_django.exposing.spectacular import operation_of

    try:
        return operation_of(endpoint, made_with)
    except Exception as error:
        logger.debug("%s: drf-spectacular cannot describe it: %s", endpoint, error)
        return None


def _body(endpoint: Endpoint, view: Any) -> dict[str, Any] | None:
    own = None
    if endpoint.is_extra and "serializer_class" not in endpoint.initkwargs:
        if not reads_body(endpoint.function, endpoint.kind):
            # "cancel" of an order takes no order, though its viewset has a serializer for them.
            return None
        if not reads_by_view(endpoint.function, endpoint.kind):
            own = only_serializer(endpoint.function)
            if own is None:
                raise DefinitionError(
                    "it reads the body of its request by itself: give its fields by "
                    f"schema={{{endpoint.handler!r}: ...}}"
                )
    serializer = serializer_of(endpoint, view, own)
    if serializer is None and (own := only_serializer(endpoint.function)) is not None:
        serializer = serializer_of(endpoint, view, own)
    if serializer is None:
        raise DefinitionError(
            f"it has no serializer to take its schema from: give its fields by schema="
            f"{{{endpoint.handler!r}: ...}}"
        )
    schema = body_schema(serializer)
    if endpoint.is_extra and takes_several(endpoint.function):
        schema = {"type": "array", "items": schema}
    return _request_body(schema, view, endpoint)


def _request_body(schema: Mapping[str, Any], view: Any, endpoint: Endpoint) -> dict[str, Any]:
    parsers = endpoint.initkwargs.get("parser_classes", getattr(view, "parser_classes", ()))
    kinds = [str(one.media_type) for one in parsers]
    if any(kind in ("*/*", "application/*") for kind in kinds):
        kinds.insert(0, _JSON)
    content = {kind: {"schema": schema} for kind in kinds if "*" not in kind}
    return {"content": content, "required": bool(schema.get("required"))}


def _answers(endpoint: Endpoint, view: Any, made_with: Mapping[str, Any]) -> dict[str, Any]:
    try:
        schema = answer_schema(serializer_of(endpoint, view))
    except DefinitionError:
        schema = None
    if schema is None or endpoint.method == "delete":
        return {}
    if endpoint.many:
        schema = {"type": "array", "items": schema}
        added = made_with.get("pagination_class")
        paginator = getattr(view, "paginator", None) if added is None else added()
        if paginator is not None:
            schema = paginator.get_paginated_response_schema(schema)
    return {"200": {"content": {_JSON: {"schema": schema}}}}


def _schema_of(given: Schema, components: dict[str, Any]) -> dict[str, Any]:
    """The schema that the user gave, with its definitions among the components."""
    if isinstance(given, type):
        schema = TypeAdapter(given).json_schema(ref_template=_REFERENCE + "{model}")
    else:
        schema = _with_references(dict(given))
    components.update(schema.pop("$defs", {}))
    return {"type": "object", **schema}


def _with_references(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: item.replace("#/$defs/", _REFERENCE)
            if key == "$ref" and isinstance(item, str)
            else _with_references(item)
            for key, item in value.items()
        }
    return [_with_references(one) for one in value] if isinstance(value, list) else value


def _capture(view: Any, name: str) -> dict[str, Any]:
    """The schema of a captured argument: of the model's field that it looks up, or of the foreign
    key that it is named after."""
    versioning = getattr(view, "versioning_class", None)
    if versioning is not None and name == versioning.version_param:
        allowed = [str(one) for one in versioning.allowed_versions or ()]
        return {"schema": {"type": "string", **({"enum": allowed} if allowed else {})}}
    unknown: dict[str, Any] = {"schema": {"type": ["string", "integer"]}}
    parents: Mapping[str, str] = getattr(type(view), "parent_lookup_kwargs", None) or {}
    is_own = name in ("pk", getattr(view, "lookup_url_kwarg", None))
    if is_own:
        field = getattr(view, "lookup_field", "pk")
    else:
        field = parents.get(name, name.removesuffix("_pk"))
    model: Any = getattr(queryset_of(view), "model", None)
    if model is None:
        return unknown
    try:
        found = path(model, field)
    except DefinitionError:
        return unknown
    if found.field.is_relation and field == name and not is_own:
        return unknown  # "event" may be its slug
    kind = TypeAdapter(found.filter_type).json_schema().get("type")
    if not isinstance(kind, str):
        return unknown
    return {"schema": {"type": kind}, "description": found.description}
