"""What drf-spectacular says of an endpoint, where the project documents its API with it.

It knows what its authors wrote by hand (`@extend_schema`, type hints, extensions), so it is the
better source of schemas. Only one operation is asked for at a time, without the project's URLs,
which are not there yet when tools are registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from mcp_mount_django.exposing.rest_endpoints import Endpoint


def operation_of(
    endpoint: Endpoint, made_with: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The operation of an endpoint, and the schemas that it refers to.

    Args:
        endpoint: The endpoint.
        made_with: What its view is made with as well.

    Returns:
        None where the view has another generator of schemas, or leaves itself out.
    """
    kind: Any = SchemaGenerator  # its functions are not typed
    generator = kind(patterns=[])
    method = endpoint.method.upper()
    view = generator.create_view(endpoint.view(**made_with), method)
    if not isinstance(view.schema, AutoSchema):
        return None
    asked = endpoint.instance()
    view.request, view.args, view.kwargs = asked.request, (), {}
    # What it cannot find out it prints; the user would not know of what.
    with GENERATOR_STATS.silence():
        operation = view.schema.get_operation(
            endpoint.path, endpoint.path, "^/", method, generator.registry
        )
        components = generator.registry.build({})
    if operation is None:
        return None
    return _with_own_words(operation, endpoint), dict(components.get("schemas", {}))


def _with_own_words(operation: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """The operation, without a description that somebody wrote for something else: of the whole
    class, or of REST framework's mixins."""
    text = operation.pop("description", "")
    inherited = (inspect.getdoc(endpoint.function) or "", inspect.getdoc(endpoint.kind) or "")
    if text and text not in inherited:
        operation["description"] = text
    return operation
