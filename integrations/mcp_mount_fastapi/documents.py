"""The OpenAPI document of a FastAPI application, made of its routes once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from fastapi import FastAPI, routing
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
    described, unreadable = _described(api)
    unshaped, unnamed, enforced = set(), set(), set()
    wide: list[str] = []
    for where, route in routes_below(api.routes):
        if ":path}" in (path := getattr(route, "path", "")):
            # A parameter for several segments; OpenAPI's own path does not say so.
            wide.append(re.sub(r":(?!path})\w+}", "}", where + path))
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
    document = Document(
        described,
        wide,
        prefix=prefix,
        unshaped=unshaped,
        unnamed=unnamed,
        enforces=enforced.__contains__,
    )
    document.unreadable |= {prefix + path: reason for path, reason in unreadable.items()}
    return document


def _enforces(route: APIRoute) -> bool:
    """Whether FastAPI sees to it that answers are as the document says.

    What `responses=` says of further ones is documentation only.
    """
    return route.response_field is not None and not any(
        str(status).startswith("2") and "model" in one for status, one in route.responses.items()
    )


def _described(api: FastAPI) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The document, and the routes of which FastAPI can make none, with reasons.

    Its own document fails as a whole over a model without a JSON Schema: /openapi.json answers 500
    then, but the application serves all of its routes.
    """
    with warnings.catch_warnings():
        # Of operation ids that come twice: the names of the tools are made otherwise then.
        warnings.simplefilter("ignore")
        try:
            return _openapi(api, api.routes), {}
        except Exception:
            fit: list[Any] = []
            unreadable: dict[str, str] = {}
            # Before 0.137 an application had copies of the routes of its routers.
            for route in getattr(routing, "iter_route_contexts", list)(api.routes):
                try:
                    _openapi(api, [route])
                except Exception as error:
                    path = str(getattr(route, "path_format", getattr(route, "path", route)))
                    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                    unreadable[path] = f"FastAPI cannot describe it: {reason}"
                else:
                    fit.append(route)
            return _openapi(api, fit), unreadable


def _openapi(api: FastAPI, routes: Sequence[Any]) -> dict[str, Any]:
    separate = api.separate_input_output_schemas
    return get_openapi(title="", version="", routes=routes, separate_input_output_schemas=separate)
