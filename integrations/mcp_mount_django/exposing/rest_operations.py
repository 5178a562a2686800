"""Endpoints of Django REST framework, described as OpenAPI operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.operations import MARK, as_mark
from mcp_mount.wire.logs import own_logger
from mcp_mount_django.exposing.bytecode import (
    only_serializer,
    reads_body,
    reads_by_view,
    takes_several,
)
from mcp_mount_django.exposing.fields import path
from mcp_mount_django.exposing.given_schemas import schema_of_given
from mcp_mount_django.exposing.parameters import pagination_of, parameters_of, queryset_of
from mcp_mount_django.exposing.rest_endpoints import READS, Endpoint
from mcp_mount_django.exposing.rest_options import EndpointOptions
from mcp_mount_django.exposing.serializers import answer_schema, body_schema, serializer_of
from mcp_mount_django.exposing.yasg import handwritten

logger = own_logger("mcp_mount")

_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/"


def document_of(endpoint: Endpoint, options: EndpointOptions) -> Document:
    """Return the OpenAPI document of one endpoint.

    Args:
        endpoint: The endpoint.
        options: What the user has declared about it.

    Raises:
        DefinitionError: If the endpoint cannot be described without further declarations.
    """
    components: dict[str, Any] = {}
    made_with = pagination_of(endpoint, options.page_size)
    view = endpoint.instance()
    known = _from_spectacular(endpoint, made_with)
    own = handwritten(endpoint)
    operation: dict[str, Any] = {"responses": {}}
    if known is not None:
        operation, components = known
    elif endpoint.method in READS:
        operation["parameters"] = parameters_of(endpoint, view, options.page_size)
    given = options.schema.get(endpoint.handler)
    partial = endpoint.method == "patch"
    body = own.body if given is None else schema_of_given(given, components, partial=partial)
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
    asked = options.query.get(endpoint.handler)
    if asked is not None:
        fields = schema_of_given(asked, components)
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
    if not options.output_schemas:
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
    # The values that a capture accepts are checked when it is called (`CapturedArguments`).
    wide = endpoint.path
    for name in endpoint.url:
        wide = wide.replace(f"{{{name}}}", f"{{{name}:path}}")
    return Document(document, [wide])


def _from_spectacular(
    endpoint: Endpoint, made_with: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    # Read from the class: the `schema` of an instance would be bound to it.
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
            # "cancel" of an order does not take an order, although its viewset has a serializer for
            # them.
            return None
        if not reads_by_view(endpoint.function, endpoint.kind):
            own = only_serializer(endpoint.function)
            if own is None:
                raise DefinitionError(
                    "it reads the body of its request by itself: declare its fields with "
                    f"schema={{{endpoint.handler!r}: ...}}"
                )
    serializer = serializer_of(endpoint, view, own)
    if serializer is None and (own := only_serializer(endpoint.function)) is not None:
        serializer = serializer_of(endpoint, view, own)
    if serializer is None:
        raise DefinitionError(
            f"it has no serializer that describes its fields: declare them with schema="
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


def _capture(view: Any, name: str) -> dict[str, Any]:
    """Return the schema of a captured argument: that of the model field that it looks up, or of the
    foreign key that it is named after.
    """
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
