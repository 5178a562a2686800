"""Routes of a Flask application as tools.

Schemas come from the URL rules, from the declared input of the views, or from an OpenAPI document.
Calls go through the application, so its before_request functions, decorators and error handlers
apply.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, overload
from weakref import WeakSet

from flask import Flask, current_app, has_app_context
from typing_extensions import Unpack

from mcp_mount.features import DefinitionError, Registry
from mcp_mount.openapi.adding import Exposed, add_operations
from mcp_mount.openapi.document import check_readable
from mcp_mount.openapi.headers import forwarded
from mcp_mount.openapi.operations import as_mark
from mcp_mount.openapi.options import (
    ExposeOptions,
    choice_in,
    policies_in,
    refuse_unfit_exposing,
)
from mcp_mount.openapi.targets import Target, calling
from mcp_mount.policies.chain import read
from mcp_mount.routes.permissions import rules_of
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.names import refuse_unknown, several_names
from mcp_mount.schemas.values import mapping, or_none
from mcp_mount_flask.calling import FLASK_FORWARDED, pass_users, sending
from mcp_mount_flask.inputs import MARKER, PLACES
from mcp_mount_flask.logins import login_paths
from mcp_mount_flask.models import check_model
from mcp_mount_flask.mounts import check_application
from mcp_mount_flask.routes import (
    RouteChoice,
    Routes,
    blueprints_of,
    document_of,
    own_rules,
)

F = TypeVar("F", bound=Callable[..., Any])


class FlaskExposeOptions(ExposeOptions, total=False):
    """The keyword arguments of `expose`."""

    blueprints: str | Collection[str]
    annotations: Mapping[str, Mapping[str, Any]] | None
    document: Mapping[str, Any] | None
    models: Mapping[str, Mapping[str, Any]] | None
    login: str | Collection[str] | None
    forward: str | Collection[str]


@overload
def as_tool(name: F, /) -> F: ...


@overload
def as_tool(
    name: str | None = None,
    description: str | None = None,
    *,
    query: Any = None,
    body: Any = None,
    form: Any = None,
    annotations: Mapping[str, Any] | None = None,
) -> Callable[[F], F]: ...


def as_tool(
    name: F | str | None = None,
    description: str | None = None,
    *,
    query: Any = None,
    body: Any = None,
    form: Any = None,
    annotations: Mapping[str, Any] | None = None,
) -> F | Callable[[F], F]:
    """Mark a view as a tool. Write it below the route decorator: `@app.get("/x")`, `@as_tool`.

    Args:
        name: The name of the tool. Without parentheses, the view.
        description: The description of the tool.
        query: The query parameters of the view: a pydantic model, a marshmallow schema, or a JSON
            Schema of an object.
        body: The JSON body of the view, in the same form.
        form: The form of the view, in the same form.
        annotations: Hints that replace those of the HTTP method: {"readOnlyHint": False} for a GET
            that writes.

    Returns:
        A decorator that returns the view unchanged; without parentheses, the view itself.

    Raises:
        DefinitionError: If `query`, `body` or `form` is not a model, or another argument has an
            invalid value.
    """
    if callable(name):
        return as_tool()(name)
    for model in (query, body, form):
        if model is not None:
            check_model(model)
    own, hints = as_mark(name, description), or_none(mapping)("annotations=", annotations)

    def mark(view: F) -> F:
        models = {"query": query, "body": body, "form": form}
        setattr(view, MARKER, {"mark": own, "annotations": hints or {}, **models})
        return view

    return mark


@dataclass(frozen=True, slots=True)
class _Exposure:
    """The tools that one call of `expose` has made, its arguments, and its applications."""

    words: Mapping[str, Any]
    apps: WeakSet[Flask]

    def app(self, latest: Flask) -> Flask:
        """Return the application whose routes are called: the one that serves the current request,
        if it is among these; otherwise the latest.
        """
        if has_app_context():
            current: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            if current in self.apps:
                return current
        return latest


def expose(
    app: Flask,
    server: HandlerDecorators,
    *,
    blueprints: str | Collection[str] = (),
    annotations: Mapping[str, Mapping[str, Any]] | None = None,
    document: Mapping[str, Any] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    login: str | Collection[str] | None = None,
    forward: str | Collection[str] = FLASK_FORWARDED,
    **options: Unpack[ExposeOptions],
) -> Exposed:
    """Make tools of the routes that `app` has now.

    A view with several rules becomes one tool. If a factory makes several applications, the same
    `expose` call for each of them makes the tools once; a tool calls the application that serves
    the request.

    Args:
        app: The application. Middleware around the application object, such as a
            DispatcherMiddleware, is not called.
        server: The MCPMount, server or router that gets the tools: all of them, or none.
        blueprints: Expose the routes of these blueprints, and of those nested in them. Without
            `blueprints`, `tags`, `operations` and `paths`, the views that are marked with `as_tool`
            are exposed.
        annotations: Hints for clients, by endpoint: {"visit": {"readOnlyHint": False}} for a GET
            that writes.
        document: An OpenAPI document (3.x) of the application, used for the schemas. Its tags and
            operation ids can be selected as well.
        models: The input of views that do not declare it, by endpoint: {"blog.create": {"form":
            Post}}.
        login: The endpoints that unauthenticated callers are redirected to. Those of Flask-Login
            and Flask-AppBuilder are known.
        forward: The headers of the caller to forward.
        options: Which routes to expose, and the policies of their tools. `operations` are endpoints
            or view functions, or operation ids of `document`: a view with several methods is
            exposed with all of them, "get_order" names one. `tags` are those of `document`;
            `exclude_tags` may name blueprints as well.

    Returns:
        The names of the tools, and the matching routes that cannot be tools, with reasons.

    Raises:
        DefinitionError: If nothing is selected, a value matches nothing, or a name is taken.
    """
    check_application(app, "expose")
    refuse_unfit_exposing(expose, options)
    if not isinstance(server, HandlerDecorators):
        raise DefinitionError(
            "expose takes the application first, then an MCPMount, a server or a router: "
            f"expose(app, mcp), not {type(server).__name__}"
        )
    rules = own_rules(app)
    groups = several_names("blueprints", blueprints)
    endpoints = [rule.endpoint for rule in rules]
    # A misspelt endpoint would silently leave a view without its model or its hints.
    tables = {
        option: or_none(mapping)(f"{option}=", table) or {}
        for option, table in (("models", models), ("annotations", annotations))
    }
    for option, table in tables.items():
        refuse_unknown(f"{option}= names no endpoint:", table, endpoints)
        for endpoint, own in table.items():
            mapping(f"{option}[{endpoint!r}]", own)
    for endpoint, own in tables["models"].items():
        refuse_unknown(f"models[{endpoint!r}] has no member", own, PLACES)
        for model in own.values():
            check_model(model)
    refuse_unknown("login= names no endpoint:", several_names("login=", login), endpoints)
    known = [name for rule in rules for name in blueprints_of(rule)]
    if document is None:
        refuse_unknown("blueprints= names no blueprint with routes:", groups, known)
        described: Mapping[str, Any] = document_of(app, rules, models or {})
    else:
        check_readable(
            document,
            "Or omit document=: the input of Flask-RESTX views is detected.",
        )
        described = document
    headers = forwarded(forward)
    chosen = ("tags", "operations", "paths", "methods", "exclude", "exclude_tags")
    given: Mapping[str, Any] = options
    words: dict[str, Any] = {
        "blueprints": groups,
        "prefix": options.get("prefix", ""),
        **{name: several_names(name, given[name]) for name in chosen if name in given},
    }
    tags = [*words.get("tags", ()), *groups]
    choice = choice_in({**options, "tags": tags}, RouteChoice)
    earlier = _earlier(server.registry, words, app)
    exposure = _Exposure(words, WeakSet())
    make = calling(sending(partial(exposure.app, app), headers))

    def function(target: Target) -> Callable[..., Any]:
        made: Any = make(target)
        # The same call for another application finds its tools by this mark, and replaces them.
        made.__mcp_exposure__ = exposure
        return made  # type: ignore[no-any-return]

    with server.registry.replacing(earlier):
        exposed = add_operations(
            server,
            [Routes(app, described, rules, annotations or {})],
            choice,
            function,
            forward=headers,
            policies=policies_in(options),
            output_schemas=options.get("output_schemas"),
            login=lambda: login_paths(exposure.app(app), several_names("login=", login)),
        )
    exposure.apps.add(app)
    # The new tools serve the applications of the replaced ones as well.
    for one in {id(found): found for found in earlier.values()}.values():
        exposure.apps.update(one.apps)
    pass_users(app)
    return exposed


def check_options(options: FlaskExposeOptions) -> None:
    """Check the options of an `expose` whose application is not there yet.

    Args:
        options: The options.

    Raises:
        DefinitionError: If a value is invalid whatever the application.
    """
    refuse_unfit_exposing(expose, options)
    choice_in(options, RouteChoice)
    policies = policies_in(options)
    rules_of(policies)
    read(policies)
    forwarded(options.get("forward", FLASK_FORWARDED))
    several_names("blueprints=", options.get("blueprints"))
    several_names("login=", options.get("login"))
    for name in ("models", "annotations", "document"):
        or_none(mapping)(f"{name}=", options.get(name))


def _earlier(registry: Registry, words: Mapping[str, Any], app: Flask) -> dict[str, _Exposure]:
    """Return the tools that the same arguments made for other applications, with their makers."""
    found: dict[str, _Exposure] = {}
    for name, tool in registry.tools.items():
        made: Any = getattr(tool.function, "__mcp_exposure__", None)
        if made is not None and made.words == words and app not in made.apps:
            found[name] = made
    return found
