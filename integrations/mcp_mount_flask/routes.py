"""The routes of an application as an OpenAPI document, as far as our own reader needs it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from flask import Flask
from werkzeug.routing import (
    FloatConverter,
    PathConverter,
    Rule,
)

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
    path_shape,
)
from mcp_mount.openapi.parameters import POINT
from mcp_mount.openapi.payloads import FORM
from mcp_mount.openapi.requests import OperationArguments
from mcp_mount.wire.messages import JSON
from mcp_mount_flask.converters import schema_of_converter
from mcp_mount_flask.inputs import Inputs, inputs_of, marker_of
from mcp_mount_flask.models import Components, schema_of

ENDPOINT: Final = "x-mcp-endpoint"
"""The member of an operation with the endpoint of its route."""

HOST: Final = "x-mcp-host"
"""The member of an operation with the host that its route is bound to."""

FIXED: Final = "x-mcp-fixed"
"""The member of an operation with the arguments that its rule gives by itself (`defaults=`)."""

_PROBLEM: Final = "x-mcp-problem"
"""The member of an operation with the reason why it cannot be a tool."""

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
    components = Components()
    for rule in rules:
        view = app.view_functions[rule.endpoint]
        methods = [one for one in METHODS if one.upper() in (rule.methods or ())]
        for method in methods:
            given = models.get(rule.endpoint, {})
            described = _described(rule, view, method, given, components, alone=len(methods) == 1)
            described[HOST] = _host_of(app, rule)
            # Of two rules for a path and a method the first one answers, as in werkzeug.
            paths.setdefault(path_of(rule), {}).setdefault(method, described)
    return {"paths": paths, "components": {"schemas": components.schemas}}


def knowing(rules: Sequence[Rule]) -> Callable[[str, str], bool]:
    """What tells whether an application has a route, by its method and its path."""
    known = {(path_shape(path_of(rule)), method) for rule in rules for method in rule.methods or ()}
    return lambda method, path: (path_shape(path), method) in known


def _described(
    rule: Rule,
    view: Any,
    method: str,
    given: Mapping[str, Any],
    components: Components,
    *,
    alone: bool,
) -> dict[str, Any]:
    """One operation of a route. components: gets what the schemas of its models refer to."""
    marked = marker_of(view)
    name = rule.endpoint.rpartition(".")[2]
    kind = getattr(view, "view_class", None)
    handler = getattr(kind, method, view) if kind is not None else view
    inputs = inputs_of(view, handler, rule, given)
    described: dict[str, Any] = {
        "operationId": rule.endpoint if alone else f"{rule.endpoint}_{method}",
        "tags": blueprints_of(rule),
        "description": inspect.getdoc(handler) or "",
        "parameters": [*_url_parameters(rule)],
        FUNCTION: name if alone else f"{method}_{name}",
        # One with several methods is known by them all: who leaves the endpoint out means each.
        ALIASES: [rule.endpoint, name, getattr(inspect.unwrap(view), "__name__", name)],
        ENDPOINT: rule.endpoint,
        FIXED: dict(rule.defaults or {}),
    }
    if method != "get":
        # A form that is done leads to another page, as browsers want it.
        described["responses"] = {"3XX": {}}
    if marked:
        described[MARK] = marked["mark"]
        described[ANNOTATIONS] = marked["annotations"]
    try:
        described["parameters"] += _parameters(inputs, components)
        for member, media_type in (("body", JSON), ("form", FORM)):
            if inputs.get(member) is not None and method not in ("get", "delete"):
                content = {media_type: {"schema": schema_of(inputs[member], components)}}
                described["requestBody"] = {"required": True, "content": content}
    except DefinitionError as error:
        # It matters where the route is chosen.
        described[_PROBLEM] = str(error)
    return described


def _url_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    path = rule.rule
    for name, converter in rule._converters.items():
        if f"{name}>" not in path:
            # Of its subdomain.
            continue
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schema_of_converter(converter),
            # Its pattern asks for one.
            POINT: isinstance(converter, FloatConverter),
        }


def _parameters(inputs: Inputs, components: Components) -> Iterator[dict[str, Any]]:
    for place in ("query", "header"):
        if inputs.get(place) is None:
            continue
        schema = schema_of(inputs[place], components)
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
        mark = is_wide and isinstance(converters[name], PathConverter)
        return f"{{{name}:path}}" if mark else f"{{{name}}}"

    return _FROM_OPENAPI.sub(braces, rule.rule)


def paths_of(rules: Sequence[Rule]) -> list[str]:
    """The paths of rules, in which parameters that may have several segments have a mark."""
    return [path_of(rule, is_wide=True) for rule in rules]


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
    """The document of an application.

    Args:
        app: The application.
        document: The one that is made of its rules, or that it has itself: then operations are
            known by their endpoints as well, and called as their functions where they have no name
            that somebody has chosen.
        rules: Those of the application's own.
        annotations: Other hints, by endpoint.
    """

    def __init__(
        self,
        app: Flask,
        document: Mapping[str, Any],
        rules: Sequence[Rule],
        annotations: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(document, paths_of(rules), knows=knowing(rules))
        known = {
            (path_shape(path_of(rule)), method.lower()): rule
            for rule in reversed(rules)
            for method in rule.methods or ()
        }
        self._routes: list[Operation] = []
        for one in super().operations():
            described = dict(one.described)
            rule = known.get((path_shape(one.path), one.method))
            if rule is not None and ENDPOINT not in described:
                described |= _known_of(app, rule, one)
            hints = annotations.get(described.get(ENDPOINT, ""))
            if hints is not None:
                described[ANNOTATIONS] = hints
            self._routes.append(replace(one, described=described))

    def operations(self) -> Sequence[Operation]:
        """All its operations, with what the application knows of their routes."""
        return self._routes

    def arguments(self, operation: Operation, forward: Collection[str]) -> OperationArguments:
        """The arguments of an operation; the headers that go along anyway are none.

        Args:
            operation: One of these.
            forward: Headers that are no arguments.

        Raises:
            DefinitionError: For what a tool cannot send.
        """
        problem = operation.described.get(_PROBLEM)
        if problem is not None:
            raise DefinitionError(problem)
        host = operation.described.get(HOST)
        if isinstance(host, str) and "<" in host:
            raise DefinitionError(f"its host varies ({host}), and a tool has one")
        return super().arguments(operation, forward)


def _known_of(app: Flask, rule: Rule, operation: Operation) -> dict[str, Any]:
    """What the application knows of an operation of its own document."""
    function = rule.endpoint.rpartition(".")[2]
    # flask-openapi3 makes one of function, rule and method.
    made = re.sub(r"\W", "_", rule.rule) + f"_{operation.method}"
    is_chosen = operation.id and not operation.id.endswith(made)
    given = operation.described.get(ALIASES)
    return {
        **({} if is_chosen else {FUNCTION: function}),
        ALIASES: [*(given if isinstance(given, list) else ()), rule.endpoint, function],
        ENDPOINT: rule.endpoint,
        FIXED: dict(rule.defaults or {}),
        HOST: _host_of(app, rule),
    }


class RouteChoice(Choice):
    """A choice of routes, in which a view that several rules lead to is one tool.

    Such rules are those of one view with defaults (`/orders/` and `/orders/<int:page>`), or with
    other names for it. The tool calls the first of those with the most arguments that it is given.
    """

    __slots__ = ()

    without_tags = (
        "routes of Flask have none, but for those of a document=; choose by blueprints=, "
        "operations= or paths="
    )

    def of(self, operations: Sequence[Operation]) -> list[Operation]:
        """The operations that are chosen.

        Args:
            operations: Those of the application.

        Raises:
            DefinitionError: If there is none, and for a word that matches nothing.
        """
        groups: dict[tuple[str, str, str], list[Operation]] = {}
        chosen = super().of(operations)
        for one in chosen:
            host = str(one.described.get(HOST))
            key = str(one.described.get(ENDPOINT) or one), one.method, host
            groups.setdefault(key, []).append(one)
        first = {one: number for number, one in enumerate(chosen)}
        merged = [part for group in groups.values() for part in _parts(group)]
        merged.sort(key=lambda part: min(first[one] for one in part))
        return [_merged(part) for part in merged]


def _parts(group: Sequence[Operation]) -> list[list[Operation]]:
    """The rules of one view, together where one tool can serve them, the fullest first.

    Each has some of the parameters of the one before it, so that what a tool is given tells its
    path; what others give by themselves is a parameter of the fullest, or the same there.
    """
    parts: list[list[Operation]] = []
    for one in sorted(group, key=lambda one: -len(one.parameters_of_path())):
        for part in parts:
            if _fits(one, part[0], part[-1]):
                part.append(one)
                break
        else:
            parts.append([one])
    return parts


def _fits(one: Operation, fullest: Operation, last: Operation) -> bool:
    own, whole = _path_schemas(one), _path_schemas(fullest)
    if not one.parameters_of_path() <= last.parameters_of_path():
        return False
    if any(whole.get(name, schema) != schema for name, schema in own.items()):
        return False
    fixed, others = (
        {
            name: value
            for name, value in (operation.described.get(FIXED) or {}).items()
            if name not in fullest.parameters_of_path()
        }
        for operation in (one, fullest)
    )
    return bool(fixed == others)


def _path_schemas(operation: Operation) -> dict[str, Any]:
    """The schemas of the parameters in the path of an operation."""
    return {
        one["name"]: one.get("schema")
        for one in operation.described.get("parameters") or ()
        if isinstance(one, Mapping) and one.get("in") == "path" and "name" in one
    }


def _merged(part: Sequence[Operation]) -> Operation:
    whole, *others = part
    if others:
        described = whole.described
        assert isinstance(described, dict), "made by Routes"
        described[PATHS] = [one.path for one in others]
    return whole
