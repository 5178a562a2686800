"""The input of a view, as `as_tool`, its type hints, or the decorators of APIFlask, flask-smorest
and Flask-RESTX declare it. (flask-openapi3 uses type hints.)

Each input is a model for one place: "query", "body" (JSON), "form" or "header".
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel
from werkzeug.routing import Rule

from mcp_mount.features import DefinitionError
from mcp_mount.schemas.functions import signature_of

MARKER: Final = "__mcp_tool__"
"""The attribute of a view that `as_tool` sets."""

PLACES: Final = ("query", "body", "form")
"""The places that users may name."""

_LOCATIONS: Final = {
    "query": "query",
    "querystring": "query",
    "json": "body",
    "form": "form",
    "headers": "header",
}
"""The places by the names that webargs, APIFlask and flask-smorest use for them."""

Inputs = dict[str, Any]


def marker_of(view: Any) -> Mapping[str, Any]:
    """Return what `as_tool` has set on a view; an empty mapping if it is not marked."""
    known: Mapping[str, Any] = getattr(view, MARKER, None) or getattr(
        inspect.unwrap(view), MARKER, {}
    )
    return known


def inputs_of(view: Any, handler: Any, rule: Rule, given: Mapping[str, Any]) -> Inputs:
    """Return the models of a view's input, by their places.

    Args:
        view: The view function.
        handler: The function that handles a method: the view, or a method of its class.
        rule: The URL rule of the view, whose arguments are left out.
        given: Models that the user has given, which take precedence.
    """
    marked = {place: marker_of(view).get(place) for place in PLACES}
    return {
        **_hinted(handler, rule),
        **dict(_declared(handler)),
        **{place: model for place, model in marked.items() if model is not None},
        **given,
    }


def _hinted(view: Any, rule: Rule) -> Inputs:
    """Return the pydantic models that a view takes as `query`, `body` and `form`, by type hints."""
    try:
        parameters = signature_of(inspect.unwrap(view)).parameters
    except DefinitionError:
        return {}
    found: Inputs = {}
    for name in set(PLACES) & parameters.keys() - rule.arguments:
        annotation = parameters[name].annotation
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


def _declared(view: Any) -> Iterator[tuple[str, Any]]:
    """Yield the models that decorators of other extensions have set on a view."""
    yield from _of_apiflask(getattr(view, "_spec", None))
    yield from _of_smorest(getattr(view, "_apidoc", None))
    yield from _of_restx(getattr(view, "__apidoc__", None))


def _of_apiflask(noted: Any) -> Iterator[tuple[str, Any]]:
    """Yield the models of `@app.input(Schema, location="query")`."""
    if not isinstance(noted, Mapping):
        return
    for schema, location in noted.get("args") or ():
        if location in _LOCATIONS:
            yield _LOCATIONS[location], schema
    if noted.get("body") is not None:
        kind = str(noted.get("content_type") or "")
        yield ("body" if "json" in kind or not kind else "form"), noted["body"]


def _of_smorest(noted: Any) -> Iterator[tuple[str, Any]]:
    """Yield the models of `@blueprint.arguments(Schema, location="query")`."""
    if not isinstance(noted, Mapping):
        return
    for one in (noted.get("arguments") or {}).get("parameters", ()):
        if one.get("in") in _LOCATIONS and one.get("schema") is not None:
            yield _LOCATIONS[one["in"]], one["schema"]


def _of_restx(noted: Any) -> Iterator[tuple[str, Any]]:
    """Yield the models of `@api.expect(model)` and `@api.expect(parser)`."""
    if not isinstance(noted, Mapping):
        return
    for one in noted.get("expect") or ():
        if isinstance(one, list):
            # A list of models.
            continue
        if hasattr(one, "resolved"):
            yield "body", one
        elif hasattr(one, "args"):
            yield from _of_parser(one.__schema__)


def _of_parser(parameters: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a RequestParser, which Flask-RESTX describes as Swagger 2.0."""
    for swagger, place in (("query", "query"), ("formData", "form"), ("header", "header")):
        own = [one for one in parameters if one["in"] == swagger and one.get("type") != "file"]
        if own:
            members = ("type", "format", "items", "enum", "default", "description")
            yield (
                place,
                {
                    "type": "object",
                    "properties": {
                        one["name"]: {key: one[key] for key in members if key in one} for one in own
                    },
                    "required": [one["name"] for one in own if one.get("required")],
                },
            )
    for one in parameters:
        if one["in"] == "body":
            yield "body", one["schema"]
