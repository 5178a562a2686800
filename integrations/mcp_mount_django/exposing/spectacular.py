"""Schemas of drf-spectacular, for projects that document their API with it.

It knows what the authors wrote by hand (`@extend_schema`, type hints, extensions), so it is the
better source. Only one operation is generated at a time, without the project's URLs, which do not
exist yet when tools are registered.
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
    """Return the operation of an endpoint, and the schemas that it refers to.

    Args:
        endpoint: The endpoint.
        made_with: Further arguments of its view.

    Returns:
        None if the view has another schema generator, or is excluded.
    """
    kind: Any = SchemaGenerator  # its functions are not typed
    generator = kind(patterns=[])
    method = endpoint.method.upper()
    view = generator.create_view(endpoint.view(**made_with), method)
    if not isinstance(view.schema, AutoSchema):
        return None
    asked = endpoint.instance()
    view.request, view.args, view.kwargs = asked.request, (), {}
    # It prints what it cannot detect, and the user would not know which endpoint is meant.
    with GENERATOR_STATS.silence():
        operation = view.schema.get_operation(
            endpoint.path, endpoint.path, "^/", method, generator.registry
        )
        components = generator.registry.build({})
    if operation is None:
        return None
    return _with_own_words(operation, endpoint), dict(components.get("schemas", {}))


def _with_own_words(operation: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Return the operation without a description that was written for something else: for the whole
    class, or for REST framework's mixins.
    """
    text = operation.pop("description", "")
    inherited = (inspect.getdoc(endpoint.function) or "", inspect.getdoc(endpoint.kind) or "")
    if text and text not in inherited:
        operation["description"] = text
    return operation
