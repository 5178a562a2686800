"""The methods of a server that make tools of endpoints which describe themselves: those of Django
REST framework, of Django Ninja, and of OpenAPI documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from mcp_mount.features.names import several_names
from mcp_mount.openapi.adding import Exposed, add_operations, refuse_unknown_policies
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.operations import METHODS, Operation
from mcp_mount.openapi.targets import calling
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.router import Registers
from mcp_mount_django.exposing.described import PAGE_SIZE, Description, Schema
from mcp_mount_django.exposing.middlewares import Middlewares
from mcp_mount_django.exposing.naming import Naming
from mcp_mount_django.exposing.responses import login_paths


class ExposesEndpoints(Registers):
    """Endpoints of REST framework, Django Ninja and OpenAPI documents, as tools."""

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

        refuse_unknown_policies(self.add_viewset, policies)
        chosen = None if actions is None else several_names(actions)
        endpoints = viewsets.viewset_endpoints(
            viewset,
            actions=chosen,
            naming=Naming.of(viewset, name, plural),
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
        from mcp_mount_django.exposing import adding, api_views

        refuse_unknown_policies(self.add_api_view, policies)
        chosen = None if methods is None else several_names(methods)
        endpoints = api_views.view_endpoints(
            view,
            methods=chosen,
            naming=Naming.of(view, name, plural),
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
