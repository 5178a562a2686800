"""Endpoints that an OpenAPI document describes, as tools: those of Django Ninja, and of anything
else that writes a document. They are called by their URLs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.contrib.admindocs.views import simplify_regex
from django.http import Http404, HttpRequest
from django.urls import NoReverseMatch, ResolverMatch, get_script_prefix, resolve, reverse

from mcp_mount.calls.flows import awaited
from mcp_mount.features import DefinitionError, ToolError
from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.document import Document, check_readable
from mcp_mount.openapi.marking import members_of
from mcp_mount.openapi.operations import FUNCTION, Operation, path_shape
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer
from mcp_mount.openapi.targets import Send
from mcp_mount_django.exposing.middlewares import Middlewares
from mcp_mount_django.exposing.responses import answer_of, derived
from mcp_mount_django.exposing.view_urls import project_routes
from mcp_mount_django.users import caller_of

_SHAPING: Final = ("exclude_unset", "exclude_defaults", "exclude_none")
"""Options of a Django Ninja operation that omit members which its schema requires."""


def document_of(api: Any) -> tuple[Document, Callable[[], str]]:
    """Return the document of an API, and a function that finds the path that it is below.

    Args:
        api: A NinjaAPI, or an OpenAPI document of the project, with whole paths.

    Raises:
        DefinitionError: If it is neither.
    """
    if isinstance(api, Mapping):
        check_readable(
            api,
            "Views that drf-yasg describes can be exposed with add_viewset and add_api_view.",
        )
        return Document(api), lambda: ""
    if not hasattr(api, "get_openapi_schema"):
        raise DefinitionError(
            f"expose takes a NinjaAPI or an OpenAPI document, not {type(api).__name__}; use "
            "add_viewset, add_api_view or add_view for views"
        )
    return _of_ninja(api), lambda: _root_of(api)


def sending(root: Callable[[], str], middleware: Middlewares) -> Send:
    """Return the function that sends a request to the view of its URL.

    Args:
        root: Finds the path that the document's paths are below.
        middleware: Middleware that runs around the view again.
    """
    known: dict[Operation, _Route] = {}

    def send(request: HttpRequest, own: Sent, collected: ResponseBody) -> Answer:
        path = root() + own.path
        route = known.get(own.operation)
        if route is None:
            route = known[own.operation] = _Route(root() + own.operation.path)
        try:
            match = resolve(path)
        except Http404:
            raise ToolError(f"The project has no URL {path}") from None
        if not route.is_of(match):
            raise another_endpoint(own.operation.method, path)
        inner: Any = derived(
            request,
            own.operation.method.upper(),
            path,
            query=urlencode(own.query),
            body=own.body or b"",
            content_type="" if own.body is None else own.content_type,
            headers=own.headers,
            match=match,
        )
        if caller_of(request) is not None:
            # The caller is the one that the server has authenticated, for views of REST framework
            # too.
            inner._force_auth_user = request.user
            inner._force_auth_token = getattr(request, "auth", None)

        def view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            response = match.func(request, *args, **kwargs)
            if inspect.isawaitable(response):
                response = async_to_sync(awaited)(response)
            return response

        response = middleware.call(inner, view, match.args, match.kwargs)
        return answer_of(response, collected, own.operation.method.upper())

    return send


class _Route:
    """The URL pattern of an operation."""

    def __init__(self, path: str) -> None:
        self._shape = path_shape(path)

    def is_of(self, match: ResolverMatch) -> bool:
        """Whether a URL leads to the pattern of this operation, and not to another one before it.

        A pattern of another shape counts only if the project has none of this shape, for example a
        regular expression that can be read in several ways.
        """
        shape = _shape_of(match.route)
        return shape == self._shape or (
            shape.count("{}") == self._shape.count("{}") and not self._is_known
        )

    @cached_property
    def _is_known(self) -> bool:
        return any(_shape_of(one) == self._shape for one in project_routes())


def _shape_of(route: str) -> str:
    """Return a pattern with its captures as "{}"."""
    return re.sub(r"<[^<>]*>", "{}", simplify_regex(route.replace(r"\Z", "$")))


def _root_of(api: Any) -> str:
    """Return the path of an API in the project, without a slash at its end."""
    try:
        root = str(reverse(f"{api.urls_namespace}:api-root"))
    except NoReverseMatch:
        raise ToolError(f"The API {api.title!r} is not in the project's URLs") from None
    return "/" + root.removeprefix(get_script_prefix()).strip("/") if root.strip("/") else ""


def _of_ninja(api: Any) -> Document:
    # Its schemas are pydantic models, which its responses are validated against.
    document = deepcopy(dict(api.get_openapi_schema(path_prefix="")))
    document.pop("servers", None)  # where it is in the project is known better
    by_id = {one_id: (operation, path) for one_id, operation, path in _operations(api)}
    unshaped, wide = set(), []
    for path, methods in document.get("paths", {}).items():
        for method, described in methods.items():
            operation, written = by_id.get(described.get("operationId"), (None, ""))
            if operation is None:
                continue
            described[FUNCTION] = operation.view_func.__name__
            described.update(members_of(operation.view_func))
            if any(getattr(operation, name, False) for name in _SHAPING):
                unshaped.add((path, method))
            parameters = re.findall(r"{path:(\w+)}", written)
            if parameters:
                whole = path
                for name in parameters:
                    whole = whole.replace(f"{{{name}}}", f"{{{name}:path}}")
                wide.append(whole)
    return Document(document, wide, unshaped=unshaped, enforces=lambda where: True)


def _operations(api: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield the operations of a NinjaAPI, each with its id and its path below its router."""
    bound = getattr(api, "_get_bound_routers", None)
    routers = bound() if bound is not None else [one for _, one in api._routers]
    for router in routers:
        for path, view in router.path_operations.items():
            for one in view.operations:
                yield one.operation_id or api.get_openapi_operation_id(one), one, path
