"""The routes of an application as an OpenAPI document, as far as our own reader needs it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from flask import Flask
from werkzeug.routing import Rule

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.operations import (
    ALIASES,
    ANNOTATIONS,
    FUNCTION,
    MARK,
    METHODS,
    PATHS,
    Operation,
)
from mcp_mount.openapi.payloads import FORM
from mcp_mount.openapi.requests import OperationArguments
from mcp_mount.protocol.messages import JSON
from mcp_mount_flask.inputs import Inputs, inputs_of, marker_of
from mcp_mount_flask.models import schema_of

ENDPOINT: Final = "x-mcp-endpoint"
"""The member of an operation with the endpoint of its route."""

HOST: Final = "x-mcp-host"
"""The member of an operation with the host that its route is bound to."""

_TYPES: Final[dict[str, dict[str, Any]]] = {
    "IntegerConverter": {"type": "integer"},
    "FloatConverter": {"type": "number"},
    "UUIDConverter": {"type": "string", "format": "uuid"},
}

_FROM_OPENAPI: Final = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")

_FRAMEWORKS: Final = frozenset({"apiflask", "flask_smorest", "flask_restx", "flask_openapi3"})
"""Extensions whose views are pages of documentation, and no endpoints of the application."""


def own_rules(app: Flask) -> list[Rule]:
    """The rules that lead to views of the application's own; some only give a path a name."""
    return [rule for rule in app.url_map.iter_rules() if _is_own(app, rule)]


def _is_own(app: Flask, rule: Rule) -> bool:
    view = app.view_functions.get(rule.endpoint)
    if view is None or rule.websocket:
        return False
    if rule.endpoint.rpartition(".")[2] == "static" or rule.endpoint.startswith("mcp_mount_"):
        return False
    module = str(getattr(inspect.unwrap(view), "__module__", ""))
    return module.partition(".")[0] not in _FRAMEWORKS


def blueprints_of(rule: Rule) -> list[str]:
    """The blueprints that a rule is of: its own, and those that this is nested in."""
    words = rule.endpoint.split(".")[:-1]
    return [".".join(words[:number]) for number in range(1, len(words) + 1)]


def document_of(
    app: Flask, rules: Sequence[Rule], models: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """An OpenAPI document for rules.

    Args:
        app: The application.
        rules: Those of the application's own.
        models: What views take that do not say so themselves, by endpoint.
    """
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for rule in rules:
        view = app.view_functions[rule.endpoint]
        methods = [one for one in METHODS if one.upper() in (rule.methods or ())]
        for method in methods:
            given = models.get(rule.endpoint, {})
            described = _described(rule, view, method, given, schemas, alone=len(methods) == 1)
            described[HOST] = _host_of(app, rule)
            # Of two rules for a path and a method the first one answers, as in werkzeug.
            paths.setdefault(path_of(rule), {}).setdefault(method, described)
    return {"paths": paths, "components": {"schemas": schemas}}


def named_as_routes(document: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, Any]:
    """A document of the application in which operations are known by their endpoints as well, and
    called as their functions where they have no name that somebody has chosen."""
    known = {
        (unnamed(path_of(rule)), method.lower()): rule
        for rule in reversed(rules)
        for method in rule.methods or ()
    }

    def named(path: str, method: str, operation: Any) -> Any:
        rule = known.get((unnamed(path), method))
        if rule is None or not isinstance(operation, Mapping):
            return operation
        function = rule.endpoint.rpartition(".")[2]
        id_ = str(operation.get("operationId") or "")
        # flask-openapi3 makes one of function, rule and method.
        made = re.sub(r"\W", "_", rule.rule) + f"_{method}"
        member = {} if id_ and not id_.endswith(made) else {FUNCTION: function}
        aliases = [*operation.get(ALIASES, ()), rule.endpoint, function]
        return {**operation, **member, ALIASES: aliases, ENDPOINT: rule.endpoint}

    paths = {
        path: {method: named(path, method, one) for method, one in methods.items()}
        for path, methods in document.get("paths", {}).items()
    }
    return {**document, "paths": paths}


def knowing(rules: Sequence[Rule]) -> Callable[[str, str], bool]:
    """What tells whether an application has a route, by its method and its path."""
    known = {(unnamed(path_of(rule)), method) for rule in rules for method in rule.methods or ()}
    return lambda method, path: (unnamed(path), method) in known


def _described(
    rule: Rule,
    view: Any,
    method: str,
    given: Mapping[str, Any],
    schemas: dict[str, Any],
    *,
    alone: bool,
) -> dict[str, Any]:
    """One operation of a route. schemas: gets what the schemas of its models refer to."""
    marked = marker_of(view)
    name = rule.endpoint.rpartition(".")[2]
    kind = getattr(view, "view_class", None)
    handler = getattr(kind, method, view) if kind is not None else view
    inputs = inputs_of(view, handler, rule, given)
    described: dict[str, Any] = {
        "operationId": rule.endpoint if alone else f"{rule.endpoint}_{method}",
        "tags": blueprints_of(rule),
        "description": inspect.getdoc(handler) or "",
        "parameters": [*_url_parameters(rule), *_parameters(inputs, schemas)],
        FUNCTION: name if alone else f"{method}_{name}",
        # One with several methods is known by them all: who leaves the endpoint out means each.
        ALIASES: [rule.endpoint, name, getattr(inspect.unwrap(view), "__name__", name)],
        ENDPOINT: rule.endpoint,
    }
    if method != "get":
        # A form that is done leads to another page, as browsers want it.
        described["responses"] = {"3XX": {}}
    if marked:
        described[MARK] = marked["mark"]
        described[ANNOTATIONS] = marked["annotations"]
    for member, media_type in (("body", JSON), ("form", FORM)):
        if inputs.get(member) is not None and method not in ("get", "delete"):
            content = {media_type: {"schema": schema_of(inputs[member], schemas)}}
            described["requestBody"] = {"required": True, "content": content}
    return described


def _url_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    path = rule.rule
    for name, converter in rule._converters.items():
        if f"{name}>" not in path:
            # Of its subdomain.
            continue
        kind = type(converter).__name__
        schema = _TYPES.get(kind, {"type": "string"})
        if kind == "AnyConverter":
            choices: Any = converter
            schema = {"type": "string", "enum": sorted(choices.items)}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameters(inputs: Inputs, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for place in ("query", "header"):
        if inputs.get(place) is None:
            continue
        schema = schema_of(inputs[place], schemas)
        for name, one in schema.get("properties", {}).items():
            required = name in schema.get("required", ())
            yield {"name": name, "in": place, "required": required, "schema": one}


def path_of(rule: Rule, *, is_wide: bool = False) -> str:
    """The path of a rule as OpenAPI has it.

    Args:
        rule: The rule.
        is_wide: Whether a parameter that may have several segments has a mark.
    """
    converters = rule._converters

    def braces(match: re.Match[str]) -> str:
        name = match[1]
        mark = is_wide and type(converters[name]).__name__ == "PathConverter"
        return f"{{{name}:path}}" if mark else f"{{{name}}}"

    return _FROM_OPENAPI.sub(braces, rule.rule)


def wide_paths(rules: Sequence[Rule]) -> list[str]:
    """The paths with a parameter that may have several segments."""
    paths = [path_of(rule, is_wide=True) for rule in rules]
    return [path for path in paths if ":path}" in path]


def unnamed(path: str) -> str:
    """A path without the names of its parameters: documents may have others."""
    return re.sub(r"{[^{}]*}", "{}", path)


def _host_of(app: Flask, rule: Rule) -> str | None:
    """The host that a rule is bound to; None for that of the caller."""
    if app.url_map.host_matching:
        host = rule.host
    elif rule.subdomain:
        host = f"{rule.subdomain}.{app.config['SERVER_NAME']}"
    else:
        host = None
    return host or None


class Routes(Document):
    """The document of an application."""

    def arguments(self, operation: Operation, forward: Collection[str]) -> OperationArguments:
        host = operation.described.get(HOST)
        if isinstance(host, str) and "<" in host:
            raise DefinitionError(f"its host varies ({host}), and a tool has one")
        return super().arguments(operation, forward)


class RouteChoice(Choice):
    """A choice of routes, in which a view that several rules lead to is one tool.

    Such rules are those of one view with defaults (`/orders/` and `/orders/<int:page>`), or with
    other names for it. The tool calls the first of those with the most arguments that it is given.
    """

    __slots__ = ()

    def of(self, operations: Sequence[Operation]) -> list[Operation]:
        groups: dict[tuple[str, str], list[Operation]] = {}
        for one in super().of(operations):
            key = str(one.described.get(ENDPOINT) or one), one.method
            groups.setdefault(key, []).append(one)
        return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Operation]) -> Operation:
    if len(group) == 1:
        return group[0]
    whole = max(group, key=lambda one: len(one.parameters_of_path()))
    described = whole.described
    assert isinstance(described, dict), "the document made it"
    described[PATHS] = [one.path for one in group if one is not whole]
    return whole
