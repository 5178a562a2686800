"""What `@swagger_auto_schema` of drf-yasg declares about an endpoint, read from its attribute.

drf-yasg writes Swagger 2.0 documents, which are not OpenAPI; what authors wrote by hand is used
nevertheless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rest_framework import serializers

from mcp_mount_django.exposing.rest_endpoints import Endpoint
from mcp_mount_django.exposing.serializers import body_schema

_OF_SCHEMAS: Final = ("type", "format", "enum", "items", "default", "pattern")
"""The members of a Swagger 2.0 parameter that describe its values. OpenAPI has them in `schema`."""


@dataclass(frozen=True, slots=True)
class Handwritten:
    """What the author of an endpoint declared.

    Attributes:
        parameters: The query parameters, in the form of OpenAPI.
        body: The schema of the body; {} if there is no body, None if nothing is declared.
        description: The description, or "".
    """

    parameters: list[dict[str, Any]] = field(default_factory=list)
    body: dict[str, Any] | None = None
    description: str = ""


def handwritten(endpoint: Endpoint) -> Handwritten:
    """Return what the author of an endpoint declared about it."""
    data = getattr(endpoint.function, "_swagger_auto_schema", None) or {}
    data = data.get(endpoint.method, data)
    if not isinstance(data, Mapping):
        return Handwritten()
    return Handwritten(
        parameters=[
            *_of_serializer(data.get("query_serializer")),
            *(_parameter(one) for one in data.get("manual_parameters") or () if _is_query(one)),
        ],
        body=_schema(data.get("request_body")),
        description=str(data.get("operation_description") or data.get("operation_summary") or ""),
    )


def _is_query(one: Any) -> bool:
    return isinstance(one, Mapping) and one.get("in") == "query"


def _parameter(one: Mapping[str, Any]) -> dict[str, Any]:
    schema = one.get("schema") or {key: one[key] for key in _OF_SCHEMAS if key in one}
    made: dict[str, Any] = {"name": one["name"], "in": "query", "schema": dict(schema)}
    for key in ("description", "required"):
        if one.get(key):
            made[key] = one[key]
    if schema.get("type") == "array" and one.get("collectionFormat") != "multi":
        made |= {"style": "form", "explode": False}
    return made


def _of_serializer(serializer: Any) -> list[dict[str, Any]]:
    schema = _schema(serializer) or {}
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "schema": one, "required": name in required}
        for name, one in schema.get("properties", {}).items()
    ]


def _schema(given: Any) -> dict[str, Any] | None:
    """Return the schema of a serializer or a schema; None for anything else, such as drf-yasg's own
    references.
    """
    if type(given) is object:
        return {}  # drf_yasg.utils.no_body
    if isinstance(given, type) and issubclass(given, serializers.BaseSerializer):
        given = given()
    if isinstance(given, serializers.BaseSerializer):
        return body_schema(given)
    if isinstance(given, Mapping) and ("properties" in given or "type" in given):
        return dict(given)
    return None
