"""The OpenAPI document of a FastAPI application, generated once from its routes."""

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
from mcp_mount.openapi.marking import members_of
from mcp_mount_fastapi.applications import routes_below

_SHAPING: Final = (
    *("response_model_include", "response_model_exclude", "response_model_exclude_unset"),
    *("response_model_exclude_defaults", "response_model_exclude_none"),
)
"""Options of an endpoint that omit members which its schema requires."""

_known: WeakKeyDictionary[FastAPI, dict[str, tuple[list[Any], Document]]] = WeakKeyDictionary()
"""The documents of applications by prefix, with the routes they were generated from."""


def document_of(api: FastAPI, prefix: str) -> Document:
    """Return the document of an application that is mounted under a prefix.

    It is generated once, and again if the routes have changed: generating schemas takes time, and
    `expose` may be called for many groups of endpoints.

    Args:
        api: The application.
        prefix: The path at which it is mounted.
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
            # A parameter with several segments, which OpenAPI's own path does not show.
            wide.append(re.sub(r":(?!path})\w+}", "}", where + path))
        if not isinstance(route, APIRoute):
            continue
        for method in route.methods or ():
            operation = (where + route.path_format, method.lower())
            marked = members_of(route.endpoint)
            if marked:
                described["paths"].get(operation[0], {}).get(operation[1], {}).update(marked)
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
    """Whether FastAPI enforces that responses match the document.

    Models of additional `responses=` are documentation only.
    """
    return route.response_field is not None and not any(
        str(status).startswith("2") and "model" in one for status, one in route.responses.items()
    )


def _described(api: FastAPI) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return the document, and the routes that FastAPI cannot describe, with reasons.

    FastAPI's own document fails as a whole if one model has no JSON Schema: /openapi.json answers
    500, although the application serves all of its routes.
    """
    with warnings.catch_warnings():
        # Warnings about duplicate operation ids: the tools get other names then.
        warnings.simplefilter("ignore")
        try:
            return _openapi(api, api.routes), {}
        except Exception:
            fit: list[Any] = []
            unreadable: dict[str, str] = {}
            # Before FastAPI 0.137, applications had copies of the routes of their routers.
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
