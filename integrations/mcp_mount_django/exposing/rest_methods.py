"""The methods of a server that make tools of endpoints of Django REST framework."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from mcp_mount.openapi.adding import Exposed, refuse_unknown_policies
from mcp_mount.openapi.operations import METHODS
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.names import several_names
from mcp_mount_django.exposing.middlewares import Middlewares
from mcp_mount_django.exposing.naming import Naming
from mcp_mount_django.exposing.rest_options import PAGE_SIZE, EndpointOptions, Schema


class ExposeRESTMixin(HandlerDecorators):
    """Endpoints of Django REST framework, as tools."""

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
            query: Query parameters that cannot be known, by action: serializer classes, pydantic
                models, or JSON Schemas.
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
        from mcp_mount_django.exposing import given_schemas, rest_tools, viewsets

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
        options = EndpointOptions(
            given_schemas.by_handler("query", query),
            given_schemas.by_handler("schema", schema),
            page_size,
            output_schemas,
            Middlewares(several_names(middleware)),
        )
        by_name = chosen is not None
        return rest_tools.add_endpoints(
            self,
            endpoints,
            options,
            policies,
            by_name=by_name,
            remedy="give this one another name by name=, or choose others by actions=",
        )

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
            query: Query parameters that cannot be known, by method: serializer classes, pydantic
                models, or JSON Schemas.
            schema: The bodies that cannot be known, in the same way.
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
        from mcp_mount_django.exposing import api_views, given_schemas, rest_tools

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
        options = EndpointOptions(
            given_schemas.by_handler("query", query),
            given_schemas.by_handler("schema", schema),
            page_size,
            output_schemas,
            Middlewares(several_names(middleware)),
        )
        by_name = chosen is not None
        return rest_tools.add_endpoints(
            self,
            endpoints,
            options,
            policies,
            by_name=by_name,
            remedy="give this one another name by name=, or choose others by methods=",
        )

    def add_router(
        self,
        router: Any,
        *,
        include: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
        methods: str | Collection[str] = METHODS,
        names: Mapping[str, str] | None = None,
        url: str | Sequence[str] = (),
        kwargs: Mapping[str, Any] | None = None,
        page_size: int | None = PAGE_SIZE,
        output_schemas: bool = False,
        middleware: str | Sequence[str] = (),
        **policies: Unpack[PolicyOptions],
    ) -> Exposed:
        """Make tools of all viewsets that are registered on a router of Django REST framework, as
        `add_viewset` does of one.

        Args:
            router: A `DefaultRouter`, say, or a nested one; only the actions that it has URLs for
                become tools.
            include: The prefixes of some viewsets ("orders", "order*"), or their basenames; by
                default all.
            exclude: Those of others that stay out.
            methods: Of HTTP: "get" for tools that only read.
            names: What one object is called in the names of the tools, by prefix or basename; by
                default as the model, or as the basename where several viewsets have one model.
            url: What the URLs around the router capture.
            kwargs: Values for captures that are no arguments of the tools, as in `path()`:
                `{"version": "v1"}`.
            page_size: How many rows a list has that its viewset does not divide into pages; None
                for all.
            output_schemas: Whether the tools promise what the serializers say of answers.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE: it runs
                again around each call, with the path of the view.
            policies: What may be declared around a tool, for each of these.

        Returns:
            The names of the tools, and the actions that cannot be tools, with reasons.

        Raises:
            DefinitionError: For what is no router, words that match nothing on it, and names that
                are taken; if none of its actions can be a tool.
        """
        from mcp_mount_django.exposing import rest_routers, rest_tools

        refuse_unknown_policies(self.add_router, policies)
        endpoints = rest_routers.router_endpoints(
            router,
            include=several_names(include),
            exclude=several_names(exclude),
            methods=several_names(methods),
            names=names or {},
            url=several_names(url),
            fixed=dict(kwargs or {}),
        )
        around = Middlewares(several_names(middleware))
        options = EndpointOptions({}, {}, page_size, output_schemas, around)
        return rest_tools.add_endpoints(
            self,
            endpoints,
            options,
            policies,
            by_name=False,
            remedy="give this one another name by names=, or leave it out by exclude=",
        )
