"""The methods of a server that make tools of what the project has already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.forms import BaseForm
from django.http import HttpRequest
from django.template.loader import render_to_string
from pydantic import BaseModel
from typing_extensions import Unpack

from mcp_mount.features.names import several_names
from mcp_mount.openapi.adding import Exposed, add_operations, refuse_unknown_policies
from mcp_mount.openapi.bodies import response_limit
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.operations import METHODS, Operation
from mcp_mount.openapi.targets import calling
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.router import Registers
from mcp_mount_django.exposing.described import PAGE_SIZE, Description, Schema
from mcp_mount_django.exposing.forms import tool_of_form
from mcp_mount_django.exposing.middlewares import Middlewares
from mcp_mount_django.exposing.queries import ModelQuery, tools_of
from mcp_mount_django.exposing.responses import login_paths
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
        redirects: bool | None = None,
        **options: Any,
    ) -> None:
        """Make a tool of a view: a function, or what `as_view` returns, coroutine or not.

        It is called with a request of the same caller (user, session, language), decorators and
        all; the middleware that the MCP request has passed is not passed again. JSON becomes
        structured content, text and HTML text, anything else a file; a status from 400 on, a
        redirect to the login, Http404 and PermissionDenied a failure that the model can read, and
        so is the page of a form that the view did not take.

        Args:
            view: The view.
            schema: Its arguments, as a pydantic model or a JSON Schema (the `schema` extra).
            name: Of the tool, by default of the view.
            method: Of the request; GET and DELETE carry the arguments in the query, others in a
                form.
            url: The arguments that its URL captures.
            as_json: Whether the others are sent as JSON.
            redirects: Whether a redirect is a success: by default of Django's own views of forms,
                which redirect when they are done.
            options: Those of a tool.

        Raises:
            DefinitionError: For words that match nothing, and for objects where the arguments are
                sent as a form or a query.
        """
        method = method.upper()
        name = str(name or getattr(view, "__name__", ""))
        function, own = tool_of_view(
            view,
            schema,
            method=method,
            url=several_names(url),
            as_json=as_json,
            redirects=redirects,
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
        plural: str | None = None,
        basename: str | None = None,
        url: str | Sequence[str] = (),
        kwargs: Mapping[str, Any] | None = None,
        query: Mapping[str, Schema] | None = None,
        schema: Mapping[str, Schema] | None = None,
        page_size: int | None = PAGE_SIZE,
        output_schemas: bool = False,
        middleware: str | Sequence[str] = (),
        **policies: Unpack[PolicyOptions],
    ) -> Exposed:
        """Make tools of a viewset of Django REST framework: one for each action.

        Schemas come from its serializers, filters and pages, or from drf-spectacular where the
        project uses it; calls go through the viewset itself, with its permissions and throttles, as
        the server's caller.

        Args:
            viewset: The class.
            actions: The names of some actions; by default all, with "partial_update" for changes.
            name: What one object is called in the names of the tools, by default as the model.
            plural: What several are called.
            basename: As in its router, where the project has several URLs for it.
            url: What its URLs capture besides its own lookup: those of the routers around it.
            kwargs: Values for captures that are no arguments of the tools, as in `path()`:
                `{"version": "v1"}`.
            query: Query parameters that cannot be known, by action: pydantic models, or JSON
                Schemas.
            schema: The bodies of actions that cannot be known, in the same way.
            page_size: How many rows a list has that the viewset does not divide into pages; None
                for all.
            output_schemas: Whether the tools promise what the serializers say of answers.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE: it runs
                again around each call, with the path of the view.
            policies: What may be declared around a tool, for each of these.

        Returns:
            The names of the tools, and the actions that cannot be tools, with reasons.

        Raises:
            DefinitionError: For actions that it does not have, or that are named and cannot be
                tools, and for names that are taken.
        """
        from mcp_mount_django.exposing import adding, viewsets

        adding.refuse_unknown_options(self.add_viewset, policies)
        chosen = None if actions is None else several_names(actions)
        endpoints = viewsets.viewset_endpoints(
            viewset,
            actions=chosen,
            naming=viewsets.Naming.of(viewset, name, plural),
            basename=basename,
            url=several_names(url),
            fixed=dict(kwargs or {}),
        )
        description = Description(
            adding.by_handler("query", query),
            adding.by_handler("schema", schema),
            page_size,
            output_schemas,
            Middlewares(several_names(middleware)),
        )
        by_name = chosen is not None
        return adding.add_endpoints(self, endpoints, description, policies, by_name=by_name)

    def add_api_view(
        self,
        view: Any,
        *,
        name: str,
        plural: str | None = None,
        methods: str | Sequence[str] | None = None,
        url: str | Sequence[str] = (),
        kwargs: Mapping[str, Any] | None = None,
        route: str | None = None,
        query: Mapping[str, Schema] | None = None,
        schema: Mapping[str, Schema] | None = None,
        page_size: int | None = PAGE_SIZE,
        output_schemas: bool = False,
        middleware: str | Sequence[str] = (),
        **policies: Unpack[PolicyOptions],
    ) -> Exposed:
        """Make tools of an APIView of Django REST framework, of a generic one, or of a function
        with `@api_view`: one for each method.

        Args:
            view: The class, or what `as_view` or `@api_view` returns.
            name: What one of its objects is called in the names of the tools.
            plural: What several are called.
            methods: Some of its methods; by default all, PATCH in place of PUT.
            url: The arguments that its URL captures; by default those that its methods need.
            kwargs: Values for captures that are no arguments of the tools, as in `path()`.
            route: The name of its URL, where the project has several for it.
            query: Query parameters that cannot be known, by method.
            schema: The bodies that cannot be known, by method.
            page_size: How many rows a list has that the view does not divide into pages; None for
                all.
            output_schemas: Whether the tools promise what the serializers say of answers.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE: it runs
                again around each call, with the path of the view.
            policies: What may be declared around a tool, for each of these.

        Returns:
            The names of the tools, and the methods that cannot be tools, with reasons.

        Raises:
            DefinitionError: For methods that it does not have, or that are named and cannot be
                tools, for an argument of its URL that is missing, and for names that are taken.
        """
        from mcp_mount_django.exposing import adding, viewsets

        adding.refuse_unknown_options(self.add_api_view, policies)
        chosen = None if methods is None else several_names(methods)
        endpoints = viewsets.view_endpoints(
            view,
            methods=chosen,
            naming=viewsets.Naming.of(view, name, plural),
            url=several_names(url),
            fixed=dict(kwargs or {}),
            route=route,
        )
        description = Description(
            adding.by_handler("query", query),
            adding.by_handler("schema", schema),
            page_size,
            output_schemas,
            Middlewares(several_names(middleware)),
        )
        by_name = chosen is not None
        return adding.add_endpoints(self, endpoints, description, policies, by_name=by_name)

    def expose(
        self,
        api: Any,
        *,
        tags: str | Collection[str] = (),
        operations: str | Collection[str] = (),
        paths: str | Collection[str] = (),
        methods: str | Collection[str] = METHODS,
        exclude: str | Collection[str] = (),
        exclude_tags: str | Collection[str] = (),
        names: Mapping[str, str] | None = None,
        name: Callable[[Operation], str | None] | None = None,
        descriptions: Mapping[str, str] | None = None,
        prefix: str = "",
        output_schemas: bool | None = None,
        middleware: str | Sequence[str] = (),
        **policies: Unpack[PolicyOptions],
    ) -> Exposed:
        """Make tools of endpoints that an OpenAPI document describes: of a NinjaAPI, or of whatever
        else writes one for this project.

        Calls go to the views of their URLs, with all that is wrapped around them there, as the
        server's caller. Documents that are made of the project's URLs, as drf-spectacular's are,
        can be made in the URLconf, below `urlpatterns`.

        Args:
            api: A NinjaAPI with all its routers, or a document (3.0, 3.1) with whole paths.
            tags: Endpoints with one of these tags. Without tags, operations and paths, those that
                are marked: `openapi_extra=as_tool()` in Django Ninja.
            operations: Those with one of these operation ids, or function names.
            paths: Those with one of these paths ("/orders/*"), below the API.
            methods: Of HTTP.
            exclude: Operation ids, function names or paths that stay out.
            exclude_tags: Tags of endpoints that stay out.
            names: Other names, by operation id or function name.
            name: A function of an `Operation` (path, method, id, tags) that returns the name of its
                tool, or None for the usual one.
            descriptions: Other descriptions, by operation id or function name.
            prefix: Of all names.
            output_schemas: Whether the tools promise what the document says of answers: by default
                for Django Ninja, which enforces it.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE: it runs
                again around each call, with the path of the endpoint.
            policies: What may be declared around a tool, for each of these.

        Returns:
            The names of the tools, and the endpoints that match, but cannot be tools, with reasons.

        Raises:
            DefinitionError: If nothing is chosen, a word matches no endpoint, an endpoint that
                `operations` names cannot be a tool, or a name is taken.
        """
        from mcp_mount_django.exposing import documents

        refuse_unknown_policies(self.expose, policies)
        document, root = documents.document_of(api)
        return add_operations(
            self,
            [document],
            Choice(
                tags=tags,
                operations=operations,
                paths=paths,
                methods=methods,
                exclude=exclude,
                exclude_tags=exclude_tags,
                names=names,
                name=name,
                descriptions=descriptions,
                prefix=prefix,
            ),
            calling(documents.sending(root, Middlewares(several_names(middleware)))),
            forward=(),
            policies=policies,
            output_schemas=output_schemas,
            login=login_paths,
        )

    def add_form(
        self,
        form: type[BaseForm],
        *,
        name: str | None = None,
        update: bool = False,
        handle: Callable[[HttpRequest, Any], Any] | None = None,
        form_kwargs: Callable[[HttpRequest], Mapping[str, Any]] | None = None,
        queryset: Callable[[HttpRequest], QuerySet[Any]] | None = None,
        exclude: str | Sequence[str] = (),
        title: str | None = None,
        description: str | None = None,
        annotations: Any = None,
        **policies: Unpack[PolicyOptions],
    ) -> None:
        """Make a tool of a form or a ModelForm: its fields are the arguments, it validates them.

        What is left out has the value that its page would show. What the form finds wrong is told
        to the model, field by field.

        Args:
            form: The class of the form.
            name: Of the tool; by default "create_…" or "update_…" with the name of the model, or
                the name of the form.
            update: Whether it changes a row that there is, by its key `pk`, and creates none.
            handle: What is done with the valid form, in place of its `save()`: a function of the
                request and the form, whose value is the result.
            form_kwargs: What the form is made with besides: a function of the request.
            queryset: The rows that a caller may change: a function of the request.
            exclude: Fields that are no arguments.
            title: Of the tool, for people.
            description: Of the tool; by default the docstring of the form.
            annotations: Hints of the tool.
            policies: Those of a tool. For a ModelForm `permission` is by default Django's
                permission to add or to change the model; None for everybody.

        Raises:
            DefinitionError: For a form that cannot be a tool.
        """
        function, own = tool_of_form(
            form,
            update=update,
            handle=handle,
            form_kwargs=form_kwargs,
            queryset=queryset,
            exclude=several_names(exclude),
        )
        given = {
            "name": name,
            "title": title,
            "description": description,
            "annotations": annotations,
        }
        chosen = {key: value for key, value in given.items() if value is not None}
        self.add_tool(function, **{**own, **chosen, **policies})

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
