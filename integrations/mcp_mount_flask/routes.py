"""The routes of an application as an OpenAPI document, as far as `mcp_mount.openapi` needs it."""

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
"""The member of an operation with the arguments that its rule fixes (`defaults=`)."""

_PROBLEM: Final = "x-mcp-problem"
"""The member of an operation with the reason why it cannot be a tool."""

_FROM_OPENAPI: Final = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")

_FRAMEWORKS: Final = frozenset({"apiflask", "flask_smorest", "flask_restx", "flask_openapi3"})
"""Extensions whose views are documentation pages and not endpoints of the application."""


def own_rules(app: Flask) -> list[Rule]:
    """Return the rules that lead to the application's own views."""
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
    """Return the blueprint of a rule and those that it is nested in, outermost first."""
    words = rule.endpoint.split(".")[:-1]
    return [".".join(words[:number]) for number in range(1, len(words) + 1)]


def document_of(
    app: Flask, rules: Sequence[Rule], models: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return an OpenAPI document for rules.

    Args:
        app: The application.
        rules: The application's own rules.
        models: The input of views that do not declare it, by endpoint.
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
            # If two rules have the same path and method, the first one wins, as in Werkzeug.
            paths.setdefault(path_of(rule), {}).setdefault(method, described)
    return {"paths": paths, "components": {"schemas": components.schemas}}


def knowing(rules: Sequence[Rule]) -> Callable[[str, str], bool]:
    """Return a function of method and path that tells whether the application has the route."""
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
    """Return one operation of a route.

    Args:
        rule: The rule.
        view: The view function.
        method: The HTTP method.
        given: Models that the user has given.
        components: Gets the definitions that the schemas refer to.
        alone: Whether the view has only this method.
    """
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
        # A view with several methods can be named by its endpoint, which means all of them.
        ALIASES: [rule.endpoint, name, getattr(inspect.unwrap(view), "__name__", name)],
        ENDPOINT: rule.endpoint,
        FIXED: dict(rule.defaults or {}),
    }
    if method != "get":
        # A submitted form redirects to another page, as browsers need it.
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
        # Raised only if the route is selected.
        described[_PROBLEM] = str(error)
    return described


def _url_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    path = rule.rule
    for name, converter in rule._converters.items():
        if f"{name}>" not in path:
            # A parameter of the subdomain.
            continue
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schema_of_converter(converter),
            # The converter's pattern requires a decimal point.
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
    """Return the path of a rule in the form of OpenAPI.

    Args:
        rule: The rule.
        is_wide: Whether to mark parameters that may have several segments.
    """
    converters = rule._converters

    def braces(match: re.Match[str]) -> str:
        name = match[1]
        mark = is_wide and isinstance(converters[name], PathConverter)
        return f"{{{name}:path}}" if mark else f"{{{name}}}"

    return _FROM_OPENAPI.sub(braces, rule.rule)


def paths_of(rules: Sequence[Rule]) -> list[str]:
    """Return the paths of rules, with marks on parameters that may have several segments."""
    return [path_of(rule, is_wide=True) for rule in rules]


def _host_of(app: Flask, rule: Rule) -> str | None:
    """Return the host that a rule is bound to; None for the caller's host."""
    if app.url_map.host_matching:
        host = rule.host
    elif rule.subdomain:
        host = f"{rule.subdomain}.{app.config['SERVER_NAME']}"
    else:
        host = None
    return host or None


class Routes(Document):
    """The OpenAPI document of an application.

    Args:
        app: The application.
        document: The document made from its rules, or its own document. Operations of its own
            document can also be selected by their endpoints, and are named after their functions if
            nobody has chosen an operation id.
        rules: The application's own rules.
        annotations: Hints for clients, by endpoint.
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
        """Return all operations, with what the application knows about their routes."""
        return self._routes

    def arguments(self, operation: Operation, forward: Collection[str]) -> OperationArguments:
        """Return the arguments of an operation.

        Args:
            operation: One of these operations.
            forward: Headers that are forwarded from the caller and are therefore not arguments.

        Raises:
            DefinitionError: If the operation cannot be a tool.
        """
        problem = operation.described.get(_PROBLEM)
        if problem is not None:
            raise DefinitionError(problem)
        host = operation.described.get(HOST)
        if isinstance(host, str) and "<" in host:
            raise DefinitionError(f"its host varies ({host}), and a tool has only one")
        return super().arguments(operation, forward)


def _known_of(app: Flask, rule: Rule, operation: Operation) -> dict[str, Any]:
    """Return what the application knows about an operation of its own document."""
    function = rule.endpoint.rpartition(".")[2]
    # flask-openapi3 builds operation ids from function, rule and method.
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
    """A selection of routes in which a view with several rules becomes one tool.

    Such rules belong to one view with defaults (`/orders/` and `/orders/<int:page>`), or are other
    paths of it. The tool calls the rule with the most parameters for which it has arguments.
    """

    __slots__ = ()

    without_tags = (
        "Flask routes have no tags, except in a document=; select with blueprints=, "
        "operations= or paths="
    )

    def of(self, operations: Sequence[Operation]) -> list[Operation]:
        """Return the selected operations.

        Args:
            operations: The operations of the application.

        Raises:
            DefinitionError: If nothing is selected, or a value matches nothing.
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
    """Group the rules of one view that a single tool can serve, the one with the most parameters
    first.

    Each rule of a group has a subset of the parameters of the one before it, so that the given
    arguments determine the path. Values that some rules fix are parameters of the first rule, or
    the same there.
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
    """Return the schemas of an operation's path parameters."""
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
