"""Routes of a Flask application as tools.

Schemas come from the URL rules, from models in the signature or the marker of a view, or from an
OpenAPI document; calls go through the application itself, so that its before_request functions,
decorators and error handlers are in force.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlencode

from flask import Flask
from pydantic import BaseModel
from typing_extensions import Unpack
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from mcp_mount.base import MCPServer
from mcp_mount.features import DefinitionError
from mcp_mount.features.functions import signature_of
from mcp_mount.features.names import refuse_unknown, several_names
from mcp_mount.openapi.adding import Exposed, add_operations, refuse_unknown_policies
from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.headers import FORWARDED, forwarded
from mcp_mount.openapi.operations import ALIASES, FUNCTION, MARK, METHODS, Operation, as_mark
from mcp_mount.openapi.payloads import FORM
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer
from mcp_mount.openapi.targets import Target
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.protocol.messages import JSON
from mcp_mount.tasks.contexts import context_without

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__mcp_tool__"
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "IntegerConverter": {"type": "integer"},
    "FloatConverter": {"type": "number"},
    "UUIDConverter": {"type": "string", "format": "uuid"},
}
_FROM_OPENAPI: Final = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")


def as_tool(
    name: str | None = None,
    description: str | None = None,
    *,
    query: Any = None,
    body: Any = None,
    form: Any = None,
) -> Callable[[F], F]:
    """Mark a view to become a tool; put it below the route: `@app.get("/x")`, `@as_tool()`.

    query, body, form: what it takes in its query, as JSON, or in a form: a pydantic model, a
    marshmallow schema, or a JSON Schema of an object.
    """

    def mark(view: F) -> F:
        models = {"query": query, "body": body, "form": form}
        known = {"mark": as_mark(name, description), **models}
        setattr(view, _MARK, known)
        return view

    return mark


def expose(
    app: Flask,
    server: MCPServer,
    *,
    blueprints: str | Collection[str] = (),
    tags: str | Collection[str] = (),
    operations: str | Collection[str] = (),
    paths: str | Collection[str] = (),
    methods: str | Collection[str] = METHODS,
    exclude: str | Collection[str] = (),
    names: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    prefix: str = "",
    document: Mapping[str, Any] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    login: str | None = None,
    forward: str | Collection[str] = FORWARDED,
    exclude_tags: str | Collection[str] = (),
    name: Callable[[Operation], str | None] | None = None,
    output_schemas: bool | None = None,
    **policies: Unpack[PolicyOptions],
) -> Exposed:
    """Make tools of routes that `app` has now.

    Args:
        app: The application. What stands before it (a DispatcherMiddleware, say) it cannot know.
        server: What gets the tools: all of them, or none.
        blueprints: The routes of these blueprints. Without blueprints, tags, operations and paths,
            those that are marked by `as_tool`.
        tags: Of a `document`: operations with one of these tags.
        operations: Endpoints, or names of view functions; operation ids of a `document`. Of a view
            with several methods all are meant; "get_order" is one of them.
        paths: Routes with one of these paths ("/orders/*").
        methods: Of HTTP.
        exclude: Endpoints, functions or paths that stay out.
        names: Other names, by endpoint or function.
        descriptions: Other descriptions, by endpoint or function.
        prefix: Of all names.
        document: An OpenAPI document that the application has, for its schemas; then tags and
            operation ids choose.
        models: What views take that do not say so themselves, by endpoint:
            {"blog.create": {"form": Post}}.
        login: The endpoint to which those are sent who must log in; Flask-Login's is known.
        forward: The headers of the caller that go along.
        exclude_tags: Tags of a `document`, or blueprints, that stay out.
        name: A function of an `Operation` (path, method, id, tags) that returns the name of its
            tool, or None for the usual one. `names` come first.
        output_schemas: Whether the tools promise what a `document` says of answers.
        policies: What may be declared around a tool, see `PolicyOptions`, for each of these.

    Returns:
        The names of the tools, and the routes that match, but cannot be tools, with reasons.

    Raises:
        DefinitionError: If nothing is chosen, a word matches nothing, or a name is taken.
    """
    refuse_unknown_policies(expose, policies)
    if not isinstance(server, MCPServer):
        raise DefinitionError(
            f"expose takes an MCPServer, not {type(server).__name__}; that of an MCPMount is its "
            "attribute server: expose(app, mcp.server)"
        )
    rules = [rule for rule in app.url_map.iter_rules() if _is_own(app, rule)]
    groups = several_names(blueprints)
    endpoints = [rule.endpoint for rule in rules]
    refuse_unknown("models= names no endpoint:", models or (), endpoints)
    for endpoint, own in (models or {}).items():
        refuse_unknown(f"models[{endpoint!r}] has no member", own, ("query", "body", "form"))
    refuse_unknown("login= names no endpoint:", several_names(login), endpoints)
    if document is None:
        refuse_unknown("blueprints= names no blueprint with routes:", groups, _blueprints(rules))
    described = document or _document(app, rules, models or {})
    wide = [_path(rule, wide=True) for rule in rules if "PathConverter" in _converters(rule)]
    choice = Choice(
        [*several_names(tags), *groups],
        operations,
        paths,
        methods,
        exclude,
        names,
        descriptions,
        prefix,
        exclude_tags,
        name,
    )
    headers = forwarded(forward)
    return add_operations(
        server,
        [Document(described, wide)],
        choice,
        partial(_function, app, headers),
        forward=headers,
        policies=policies,
        output_schemas=output_schemas,
        login=partial(_login, app, login),
    )


def _blueprints(rules: Sequence[Rule]) -> list[str]:
    """The blueprints that some rules are of."""
    names = dict.fromkeys(rule.endpoint.rpartition(".")[0] for rule in rules)
    return [name for name in names if name]


def _is_own(app: Flask, rule: Rule) -> bool:
    """Whether a rule leads to a view of the application's own; some only give a path a name."""
    if rule.endpoint not in app.view_functions:
        return False
    return rule.endpoint.rpartition(".")[2] != "static" and not rule.endpoint.startswith(
        "mcp_mount_"
    )


def _document(
    app: Flask, rules: Sequence[Rule], models: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """An OpenAPI document for the routes, as far as `Document` reads it."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for rule in rules:
        view = app.view_functions[rule.endpoint]
        methods = [one for one in METHODS if one.upper() in (rule.methods or ())]
        for method in methods:
            own = models.get(rule.endpoint, {})
            operation = _described(rule, view, method, own, schemas, alone=len(methods) == 1)
            paths.setdefault(_path(rule), {})[method] = operation
    return {"paths": paths, "components": {"schemas": schemas}}


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
    known: Mapping[str, Any] = getattr(view, _MARK, None) or getattr(
        inspect.unwrap(view), _MARK, {}
    )
    blueprint, _, name = rule.endpoint.rpartition(".")
    kind = getattr(view, "view_class", None)
    handler = getattr(kind, method, view) if kind is not None else view
    models = {**_models(handler, rule), **{k: v for k, v in known.items() if v}, **given}
    described: dict[str, Any] = {
        "operationId": rule.endpoint if alone else f"{rule.endpoint}_{method}",
        "tags": [blueprint] if blueprint else [],
        "description": inspect.getdoc(handler) or "",
        "parameters": [*_url_parameters(rule), *_query_parameters(models.get("query"), schemas)],
        FUNCTION: name if alone else f"{method}_{name}",
        # One with several methods is known by them all: who leaves the endpoint out means each.
        ALIASES: [rule.endpoint, name, getattr(inspect.unwrap(view), "__name__", name)],
    }
    if method != "get":
        # A form that is done leads to another page, as browsers want it.
        described["responses"] = {"3XX": {}}
    if known:
        described[MARK] = known["mark"]
    for member, kind in (("body", JSON), ("form", FORM)):
        if models.get(member) is not None and method not in ("get", "delete"):
            content = {kind: {"schema": _schema(models[member], schemas)}}
            described["requestBody"] = {"required": True, "content": content}
    return described


def _models(view: Any, rule: Rule) -> dict[str, Any]:
    """The pydantic models that a view takes as `query`, `body` and `form`, by its type hints."""
    try:
        parameters = signature_of(inspect.unwrap(view)).parameters
    except DefinitionError:
        return {}
    found: dict[str, Any] = {}
    for name in {"query", "body", "form"} & parameters.keys() - rule.arguments:
        annotation = parameters[name].annotation
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


def _url_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for name, converter in rule._converters.items():
        kind = type(converter).__name__
        schema = _TYPES.get(kind, {"type": "string"})
        if kind == "AnyConverter":
            choices: Any = converter
            schema = {"type": "string", "enum": sorted(choices.items)}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(model: Any, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if model is None:
        return
    schema = _schema(model, schemas)
    for name, one in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": one}


def _schema(model: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a model, or a schema as it is; what it refers to goes to `schemas`.

    Raises DefinitionError for what is no model, and for two of one name that differ.
    """
    if isinstance(model, Mapping):
        return _with_components(model, schemas)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return _with_components(model.model_json_schema(), schemas)
    return _marshmallow_schema(model() if isinstance(model, type) else model)


def _with_components(schema: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema whose definitions are components of the document."""
    whole: dict[str, Any] = json.loads(
        json.dumps(schema).replace('"#/$defs/', '"#/components/schemas/')
    )
    for name, one in whole.pop("$defs", {}).items():
        if schemas.setdefault(name, one) != one:
            raise DefinitionError(f"two models of different kind are called {name!r}")
    return whole


_MARSHMALLOW: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("Boolean", {"type": "boolean"}),
    ("Integer", {"type": "integer"}),
    ("Decimal", {"type": ["number", "string"]}),
    ("Number", {"type": "number"}),
    ("DateTime", {"type": "string"}),
    ("Date", {"type": "string", "format": "date"}),
    ("UUID", {"type": "string", "format": "uuid"}),
    ("Email", {"type": "string", "format": "email"}),
    ("Url", {"type": "string", "format": "uri"}),
    ("String", {"type": "string"}),
    ("Mapping", {"type": "object"}),
)
"""The first class of `marshmallow.fields` that a field is of tells its schema."""


def _marshmallow_schema(schema: Any) -> dict[str, Any]:
    if not hasattr(schema, "load_fields"):
        raise DefinitionError(f"{schema!r} is no model: give one of pydantic's, or a JSON Schema")
    fields = schema.load_fields.items()
    names = {name: field.data_key or name for name, field in fields}
    return {
        "type": "object",
        "properties": {names[name]: _marshmallow_field(field) for name, field in fields},
        "required": [names[name] for name, field in fields if field.required],
    }


def _marshmallow_field(field: Any) -> dict[str, Any]:
    kinds = [kind.__name__ for kind in type(field).__mro__]
    if "Nested" in kinds:
        inner = _marshmallow_schema(field.schema)
        found: dict[str, Any] = {"type": "array", "items": inner} if field.many else inner
    elif "List" in kinds:
        found = {"type": "array", "items": _marshmallow_field(field.inner)}
    else:
        found = dict(next((one for name, one in _MARSHMALLOW if name in kinds), {}))
    description = field.metadata.get("description")
    if description:
        found["description"] = description
    if field.allow_none and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


def _path(rule: Rule, *, wide: bool = False) -> str:
    """The path of a rule as OpenAPI has it. wide: with a mark where segments may be several."""
    converters = rule._converters

    def braces(match: re.Match[str]) -> str:
        name = match[1]
        mark = wide and type(converters[name]).__name__ == "PathConverter"
        return f"{{{name}:path}}" if mark else f"{{{name}}}"

    return _FROM_OPENAPI.sub(braces, rule.rule)


def _converters(rule: Rule) -> set[str]:
    return {type(one).__name__ for one in rule._converters.values()}


def _function(
    app: Flask,
    forward: Collection[str],
    target: Target,
) -> Callable[..., Any]:
    operation = target.operation

    def function(request: Any, arguments: Mapping[str, Any]) -> Any:
        sent = target.request(arguments)
        environ = _environ(_known(request), operation.method.upper(), sent, forward)
        if "{" in operation.path:
            _refuse_another(app, environ, operation)
        # Without the caller's contexts: Flask would take its application context for the inner
        # request too, and the teardown of that would close what the caller has in `g`.
        collected = ResponseBody(target.limit())
        status, headers = context_without("flask.").run(_call, app.wsgi_app, environ, collected)
        return target.value(Answer(status, headers, collected.whole()))

    function.__name__ = function.__qualname__ = operation.function
    return function


def _refuse_another(app: Flask, environ: dict[str, Any], operation: Operation) -> None:
    """Raise InvalidArguments for a request that another rule than that of the operation takes."""
    adapter = app.create_url_adapter(app.request_class(environ))
    try:
        rule = adapter.match(return_rule=True)[0] if adapter is not None else None
    except HTTPException:
        # There is none: the application has its own answer.
        return
    if rule is not None and _unnamed(_path(rule)) != _unnamed(operation.path):
        raise another_endpoint(operation.method, _path(rule))


def _unnamed(path: str) -> str:
    """A path without the names of its parameters: documents may have others."""
    return re.sub(r"{[^{}]*}", "{}", path)


def _call(
    application: Callable[..., Any], environ: dict[str, Any], collected: ResponseBody
) -> tuple[int, dict[str, str]]:
    """Send a request to a WSGI application; the status and the headers of its response.

    Raises what `collected` raises for a body that is too large: the response is closed then, as a
    server closes it when its client has left.
    """
    status, headers = "500", dict[str, str]()

    def start_response(given: str, pairs: Any, error: Any = None) -> Callable[[bytes], None]:
        nonlocal status
        status = given
        headers.clear()
        headers.update({name.lower(): value for name, value in pairs})
        return collected.add

    chunks = application(environ, start_response)
    try:
        for chunk in chunks:
            # Headers may come with the first chunk only.
            collected.expect(headers.get("content-length"))
            collected.add(chunk)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    return int(status.partition(" ")[0]), headers


def _known(request: Any) -> dict[str, Any]:
    """The environment of the caller's request: Flask's, a WSGI server's, or Starlette's."""
    if isinstance(request, dict):
        return request
    if hasattr(request, "environ"):
        environ: dict[str, Any] = request.environ
        return environ
    if request is None:
        return {}
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()
    }
    host, port = request.scope.get("server") or ("localhost", 80)
    return {
        **headers,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "wsgi.url_scheme": request.scope.get("scheme", "http"),
        "REMOTE_ADDR": (request.scope.get("client") or ("127.0.0.1", 0))[0],
    }


def _environ(
    known: Mapping[str, Any], method: str, sent: Sent, forward: Collection[str]
) -> dict[str, Any]:
    """The environment of a request to the application, of the same caller."""
    body = sent.body or b""
    kept = {
        key: value
        for key, value in known.items()
        if key.startswith("HTTP_") and key[5:].replace("_", "-").lower() in (*forward, "host")
    }
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sent.headers.items()
    }
    return {
        "SERVER_NAME": known.get("SERVER_NAME", "localhost"),
        "SERVER_PORT": known.get("SERVER_PORT", "80"),
        "SERVER_PROTOCOL": known.get("SERVER_PROTOCOL", "HTTP/1.1"),
        "REMOTE_ADDR": known.get("REMOTE_ADDR", "127.0.0.1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": known.get("wsgi.url_scheme", "http"),
        "wsgi.errors": known.get("wsgi.errors") or sys.stderr,
        "wsgi.multithread": known.get("wsgi.multithread", True),
        "wsgi.multiprocess": known.get("wsgi.multiprocess", False),
        "wsgi.run_once": False,
        **kept,
        **headers,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": sent.path.encode().decode("latin-1"),
        "QUERY_STRING": urlencode(sent.query),
        "CONTENT_TYPE": sent.content_type if sent.body is not None else "",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "application/json, */*;q=0.1",
        "wsgi.input": BytesIO(body),
    }


def _login(app: Flask, endpoint: str | None) -> Sequence[str]:
    """The paths of the login view: a named one, or Flask-Login's."""
    view = endpoint or getattr(getattr(app, "login_manager", None), "login_view", None)
    return [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint == view]
