"""Endpoints of Django REST framework as tools: schemas from their serializers, calls through their
own views, with their permissions, throttles, filters and pages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.text import slugify
from pydantic import TypeAdapter
from rest_framework.mixins import ListModelMixin
from rest_framework.schemas.openapi import AutoSchema

from mcp_mount.features import DefinitionError
from mcp_mount.features.names import refuse_unknown
from mcp_mount.openapi.arguments import NamedArguments
from mcp_mount_django.authentication import caller_of
from mcp_mount_django.exposing.captures import CapturedArguments
from mcp_mount_django.exposing.fields import path
from mcp_mount_django.exposing.responses import derived, refusal, result_of

_ROUTES: Final = (
    ("list", "get", "list_{plural}", False),
    ("create", "post", "create_{name}", False),
    ("retrieve", "get", "get_{name}", True),
    ("partial_update", "patch", "update_{name}", True),
    ("destroy", "delete", "delete_{name}", True),
)
"""The actions of a viewset: their HTTP method, their tool, whether they are of one object."""

_METHODS: Final = (
    ("get", "get_{name}"),
    ("post", "create_{name}"),
    ("patch", "update_{name}"),
    ("put", "replace_{name}"),
    ("delete", "delete_{name}"),
)
_READS: Final = ("get", "head")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One action of a view.

    view: the callable that Django's URLs would have. instance: a view object, to ask for its
    schemas. url: the arguments of its URL. route: the name of its URL, if it has one.
    """

    tool: str
    view: Callable[..., Any]
    instance: Any
    method: str
    url: Sequence[str]
    many: bool
    route: str | None = None


def arguments_of(endpoint: Endpoint) -> NamedArguments:
    """The arguments of an endpoint: of its URL, its query or its body, side by side.

    Raises DefinitionError for a body that no tool can send.
    """
    url = {name: _url_schema(endpoint.instance, name) for name in endpoint.url}
    query = _query(endpoint) if endpoint.method in _READS else {}
    body = {} if endpoint.method in (*_READS, "delete") else _body(endpoint)
    fields = {name: one for name, one in body.get("properties", {}).items() if name not in url}
    required = [*url, *(name for name in body.get("required", ()) if name in fields)]
    schema: dict[str, Any] = {"type": "object", "properties": {**url, **query, **fields}}
    if required:
        schema["required"] = required
    return NamedArguments(schema, list(url))


def viewset_endpoints(
    viewset: Any, *, actions: Sequence[str] | None, name: str | None, basename: str | None
) -> Iterator[Endpoint]:
    """The endpoints of a viewset: its standard actions and its own.

    Raises DefinitionError for actions that it does not have.
    """
    singular, plural = _names(viewset, name)
    basename = basename or singular
    extra = {one.__name__: one for one in viewset.get_extra_actions()}
    standard = [route for route in _ROUTES if hasattr(viewset, route[0])]
    known = [*(route[0] for route in standard), *extra]
    refuse_unknown(f"{viewset.__name__} has no action", actions or (), known)
    lookup = viewset.lookup_url_kwarg or viewset.lookup_field
    for action, method, pattern, of_one in standard:
        if actions is None or action in actions:
            yield Endpoint(
                pattern.format(name=singular, plural=plural),
                viewset.as_view({method: action}),
                _instance(viewset, action, method),
                method,
                [lookup] if of_one else [],
                action == "list",
                f"{basename}-{'detail' if of_one else 'list'}",
            )
    for action, function in extra.items():
        if actions is None or action in actions:
            method = next(iter(function.mapping))
            yield Endpoint(
                f"{singular}_{action}",
                viewset.as_view({method: action}, **function.kwargs),
                _instance(viewset, action, method, **function.kwargs),
                method,
                [lookup] if function.detail else [],
                False,
                f"{basename}-{function.url_name}",
            )


def view_endpoints(
    view: Any, *, methods: Sequence[str] | None, name: str, url: Sequence[str], route: str | None
) -> Iterator[Endpoint]:
    """The endpoints of an APIView, or of a function with `@api_view`: one for each method.

    Raises DefinitionError for methods that it does not have.
    """
    kind: Any = view if isinstance(view, type) else view.cls
    has = {"get": hasattr(kind, "get"), **{one: hasattr(kind, one) for one, _ in _METHODS}}
    wanted = [one.lower() for one in methods or ()]
    known = [one for one, there in has.items() if there]
    refuse_unknown(f"{kind.__name__} has no method", wanted, known)
    many = not url and issubclass(kind, ListModelMixin)
    for method, pattern in _METHODS:
        # PATCH and PUT of one view are one tool, unless both are asked for.
        if not has[method] or (wanted and method not in wanted):
            continue
        if not wanted and method == "put" and has["patch"]:
            continue
        tool = f"list_{name}" if method == "get" and many else pattern.format(name=name)
        instance = _instance(kind, None, method)
        yield Endpoint(tool, kind.as_view(), instance, method, url, many, route)


def function_of(endpoint: Endpoint, limit: Callable[[], int | None]) -> Callable[..., Any]:
    """The function that calls an endpoint. limit: how many bytes of a response are collected."""
    captures = CapturedArguments(endpoint.view, endpoint.url)

    def function(request: HttpRequest, arguments: Mapping[str, Any]) -> Any:
        # As the patterns of its routers give them.
        captured = {name: str(value) for name, value in captures.of(arguments).items()}
        rest = {name: value for name, value in arguments.items() if name not in captured}
        sent = {"query": rest} if endpoint.method in _READS else {"data": rest}
        method, where = endpoint.method.upper(), _path(endpoint, captured, request)
        own: Any = derived(request, method, where, **sent)
        if caller_of(request) is not None:
            # The caller is who the server says; of others the view may find out more.
            own._force_auth_user = request.user
            own._force_auth_token = getattr(request, "auth", None)
        try:
            return result_of(endpoint.view(own, **captured), limit())
        except Exception as error:
            raise refusal(error) or error from None

    function.__name__ = function.__qualname__ = endpoint.tool
    handler = getattr(endpoint.instance, endpoint.instance.action or endpoint.method, None)
    described = inspect.getdoc(handler) if getattr(handler, "__doc__", None) else None
    function.__doc__ = described or inspect.getdoc(type(endpoint.instance)) or ""
    return function


def annotations_of(endpoint: Endpoint) -> dict[str, bool]:
    """The hints that its HTTP method gives (RFC 9110, section 9.2)."""
    if endpoint.method in _READS:
        return {"readOnlyHint": True}
    idempotent = endpoint.method in ("put", "delete")
    return {
        "readOnlyHint": False,
        "destructiveHint": endpoint.method != "post",
        "idempotentHint": idempotent,
    }


def _instance(kind: Any, action: str | None, method: str, **options: Any) -> Any:
    instance = kind(**options)
    instance.action, instance.request, instance.format_kwarg = action, None, None
    instance.args, instance.kwargs = (), {}
    instance.action_map = {method: action}
    return instance


def _names(viewset: Any, name: str | None) -> tuple[str, str]:
    """What one object is called, and several."""
    model = getattr(getattr(viewset, "queryset", None), "model", None)
    serializer = getattr(viewset, "serializer_class", None)
    model = model or getattr(getattr(serializer, "Meta", None), "model", None)
    if name is not None:
        return name, f"{name}s"
    if model is None:
        plain = viewset.__name__.removesuffix("ViewSet").lower()
        return plain, f"{plain}s"
    plural = slugify(str(model._meta.verbose_name_plural)).replace("-", "_")
    return model._meta.model_name, plural


def _path(endpoint: Endpoint, captured: Mapping[str, Any], request: HttpRequest) -> str:
    """The path that the endpoint has in the project, for links in its answer."""
    if endpoint.route is not None:
        try:
            return reverse(endpoint.route, kwargs=dict(captured))
        except NoReverseMatch:
            pass
    return request.path


def _url_schema(instance: Any, name: str) -> dict[str, Any]:
    model = getattr(getattr(instance, "queryset", None), "model", None)
    field = (
        instance.lookup_field
        if name in ("pk", getattr(instance, "lookup_url_kwarg", None))
        else name
    )
    if model is None:
        return {"type": ["string", "integer"]}
    try:
        schema = TypeAdapter(path(model, field).filter_type).json_schema()
    except DefinitionError:
        return {"type": ["string", "integer"]}
    return {"type": schema["type"], "description": path(model, field).description}


def _query(endpoint: Endpoint) -> dict[str, Any]:
    """The query parameters of a list: those of its filters and its pages."""
    instance = endpoint.instance
    if not endpoint.many:
        return {}
    described: list[Mapping[str, Any]] = []
    for backend in getattr(instance, "filter_backends", ()):
        described += backend().get_schema_operation_parameters(instance)
    paginator = getattr(instance, "paginator", None)
    if paginator is not None:
        described += paginator.get_schema_operation_parameters(instance)
    return {
        one["name"]: {
            **_plain(one.get("schema", {})),
            **({"description": str(one["description"])} if one.get("description") else {}),
        }
        for one in described
    }


def _body(endpoint: Endpoint) -> dict[str, Any]:
    """The schema of the body: what the serializer takes."""
    instance = endpoint.instance
    if not hasattr(instance, "get_serializer"):
        raise DefinitionError(
            f"{type(instance).__name__} has no serializer to take its schema from: expose it with "
            "add_view and a schema"
        )
    try:
        serializer = instance.get_serializer(partial=endpoint.method == "patch")
    except Exception as error:
        raise DefinitionError(
            f"{type(instance).__name__}: its serializer cannot be made without a request ({error})"
        ) from error
    return _writable(AutoSchema().map_serializer(serializer), type(instance).__name__)


def _writable(schema: Mapping[str, Any], view: str) -> dict[str, Any]:
    """The part of an object's schema that a client may write."""
    properties: dict[str, Any] = {}
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        if one.get("readOnly"):
            continue
        if one.get("format") == "binary":
            if name in required:
                raise DefinitionError(f"{view}: {name!r} is a file, which a tool cannot take")
            continue
        properties[name] = _plain(one, view)
    whole: dict[str, Any] = {"type": "object", "properties": properties}
    needed = [name for name in required if name in properties]
    if needed:
        whole["required"] = needed
    return whole


def _plain(schema: Mapping[str, Any], view: str = "") -> dict[str, Any]:
    """An OpenAPI 3.0 schema as JSON Schema."""
    dropped = ("readOnly", "writeOnly", "nullable")
    own = {key: value for key, value in schema.items() if key not in dropped}
    if isinstance(own.get("properties"), Mapping):
        own |= _writable(own, view)
    if isinstance(own.get("items"), Mapping):
        own["items"] = _plain(own["items"], view)
    if "description" in own:
        own["description"] = str(own["description"])
    if schema.get("nullable"):
        if isinstance(own.get("type"), str):
            own["type"] = [own["type"], "null"]
        if "enum" in own and None not in own["enum"]:
            own["enum"] = [*own["enum"], None]
    return own
