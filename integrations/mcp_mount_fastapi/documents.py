"""The OpenAPI document of a FastAPI application, made of its routes once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from mcp_mount.openapi.document import Document
from mcp_mount_fastapi.applications import routes_below

_SHAPING: Final = (
    *("response_model_include", "response_model_exclude", "response_model_exclude_unset"),
    *("response_model_exclude_defaults", "response_model_exclude_none"),
)
"""Options of an endpoint that leave out members which its schema requires."""

_known: WeakKeyDictionary[FastAPI, dict[str, tuple[list[Any], Document]]] = WeakKeyDictionary()
"""The documents of applications by their prefix, with the routes that they are made of."""


def document_of(api: FastAPI, prefix: str) -> Document:
    """The document of an application that is mounted under a prefix.

    It is made once, and again when there are other routes: schemas of models take their time, and
    `expose` may be called for many groups of endpoints.
    """
    routes = [route for _, route in routes_below(api.routes)]
    documents = _known.setdefault(api, {})
    known = documents.get(prefix)
    if known is not None and list(map(id, known[0])) == list(map(id, routes)):
        return known[1]
    document = _document(api, prefix)
    documents[prefix] = (routes, document)
    return document


def _document(api: FastAPI, prefix: str) -> Document:
    unshaped, unnamed, enforced = set(), set(), set()
    wide: list[str] = []
    for where, route in routes_below(api.routes):
        if ":path}" in (path := getattr(route, "path", "")):
            # A parameter for several segments; OpenAPI's own path does not say so.
            wide.append(path)
        if not isinstance(route, APIRoute):
            continue
        for method in route.methods or ():
            operation = (where + route.path_format, method.lower())
            if not route.response_model_by_alias:
                unnamed.add(operation)
            if any(getattr(route, name, None) for name in _SHAPING):
                unshaped.add(operation)
            if _enforces(route):
                enforced.add(operation)
    return Document(
        _described(api),
        wide,
        prefix=prefix,
        unshaped=unshaped,
        unnamed=unnamed,
        enforces=enforced.__contains__,
    )


def _enforces(route: APIRoute) -> bool:
    """Whether FastAPI sees to it that answers are as the document says.

    What `responses=` says of further ones is documentation only.
    """
    return route.response_field is not None and not any(
        str(status).startswith("2") and "model" in one for status, one in route.responses.items()
    )


def _described(api: FastAPI) -> Mapping[str, Any]:
    """The document. A route of which FastAPI can make none is left out of it."""
    with warnings.catch_warnings():
        # Of operation ids that come twice: the names of the tools are made otherwise then.
        warnings.simplefilter("ignore")
        return _openapi(api, api.routes)


def _openapi(api: FastAPI, routes: Sequence[Any]) -> dict[str, Any]:
    separate = api.separate_input_output_schemas
    return get_openapi(title="", version="", routes=routes, separate_input_output_schemas=separate)
