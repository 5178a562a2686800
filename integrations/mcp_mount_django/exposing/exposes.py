"""The methods of a server that make tools of what the project has already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from django.http import HttpRequest
from django.template.loader import render_to_string
from pydantic import BaseModel

from mcp_mount.features.names import several_names
from mcp_mount.openapi.bodies import response_limit
from mcp_mount.routes.router import Registers
from mcp_mount_django.exposing.queries import ModelQuery, tools_of
from mcp_mount_django.exposing.views import tool_of_view

Q = TypeVar("Q", bound=type[ModelQuery])


class Exposes(Registers):
    """Models, views, REST framework's endpoints and templates, as tools and pages."""

    def register(self, query: Q) -> Q:
        """Let callers query a model: the decorator of a `ModelQuery`.

        Raises DefinitionError for fields and lookups that the model does not have.
        """
        self.add_tools(tools_of(query()))
        return query

    def add_view(
        self,
        view: Callable[..., Any],
        schema: type[BaseModel] | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        method: str = "GET",
        url: str | Sequence[str] = (),
        as_json: bool = False,
        **options: Any,
    ) -> None:
        """Make a tool of a view: a function, or what `as_view` returns, coroutine or not.

        It is called with a request of the same caller (user, session, language), decorators and
        all; the middleware that the MCP request has passed is not passed again. schema: its
        arguments, as a pydantic model or a JSON Schema (the `schema` extra). method: of the
        request; GET and DELETE carry the arguments in the query, others in a form, or as JSON
        (as_json). url: the arguments that its URL captures. JSON becomes structured content, text
        and HTML text, anything else a file; a status from 400 on, a redirect to the login, Http404
        and PermissionDenied a failure that the model can read. options: those of a tool.
        """
        method = method.upper()
        name = str(name or getattr(view, "__name__", ""))
        function, own = tool_of_view(
            view,
            schema,
            method=method,
            url=several_names(url),
            as_json=as_json,
            limit=partial(response_limit, self, name),
        )
        inner = getattr(view, "view_class", view)
        given = {
            "name": name,
            "description": inner.__doc__,
            "annotations": {"readOnlyHint": method in ("GET", "HEAD")},
        }
        self.add_tool(function, **{**given, **own, **options})

    def add_viewset(
        self,
        viewset: Any,
        *,
        actions: str | Sequence[str] | None = None,
        name: str | None = None,
        basename: str | None = None,
        **options: Any,
    ) -> None:
        """Make tools of a viewset of Django REST framework: one for each action.

        Schemas come from its serializers, filters and pages; calls go through the viewset itself,
        with its permissions and throttles, as the server's caller. actions: by default all, with
        "partial_update" for changes. name: what one object is called in the names of the tools, by
        default as the model. basename: as in its router, for links. options: those of a tool.

        Raises DefinitionError for actions that it does not have.
        """
        from mcp_mount_django.exposing import rest

        chosen = None if actions is None else several_names(actions)
        endpoints = rest.viewset_endpoints(viewset, actions=chosen, name=name, basename=basename)
        self._add_endpoints(endpoints, options)

    def add_api_view(
        self,
        view: Any,
        *,
        name: str,
        methods: str | Sequence[str] | None = None,
        url: str | Sequence[str] = (),
        route: str | None = None,
        **options: Any,
    ) -> None:
        """Make tools of an APIView of Django REST framework, or a generic one: one for each method.

        Everything else is as with `add_viewset`. name: what its objects are called. methods: by
        default all, PATCH in place of PUT. url: the arguments that its URL captures. route: the
        name of its URL, for links.
        """
        from mcp_mount_django.exposing import rest

        chosen = None if methods is None else several_names(methods)
        captured = several_names(url)
        endpoints = rest.view_endpoints(view, methods=chosen, name=name, url=captured, route=route)
        self._add_endpoints(endpoints, options)

    def _add_endpoints(self, endpoints: Any, options: Mapping[str, Any]) -> None:
        from mcp_mount_django.exposing import rest

        tools: list[tuple[Callable[..., Any], Mapping[str, Any]]] = []
        for endpoint in endpoints:
            given = {
                "name": endpoint.tool,
                "input_schema": rest.arguments_of(endpoint),
                "annotations": rest.annotations_of(endpoint),
            }
            limit = partial(response_limit, self, endpoint.tool)
            tools.append((rest.function_of(endpoint, limit), {**given, **options}))
        self.add_tools(tools)

    def add_template_page(
        self,
        uri: str,
        template: str,
        *,
        context: Mapping[str, Any] | Callable[[HttpRequest], Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Register a page that is one of the project's templates, rendered at each request.

        context: for the template, or a function of the request that gives it. options: those of
        `page`.
        """

        def render(request: HttpRequest) -> str:
            given = context(request) if callable(context) else context
            return render_to_string(template, dict(given or {}), request)

        self.page(uri, **{"name": uri.removeprefix("ui://"), **options})(render)
