"""The methods of a server that expose endpoints of Django REST framework."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from mcp_mount.openapi.adding import Exposed, refuse_unknown_policies
from mcp_mount.openapi.choice import methods_in
from mcp_mount.openapi.operations import METHODS
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.names import several_names
from mcp_mount.schemas.values import flag, mapping, or_none, whole
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

        Schemas come from its serializers, filters and pagination, or from drf-spectacular if the
        project uses it. Calls pass through the viewset, with its permissions and throttles, as the
        server's caller.

        Args:
            viewset: The class.
            actions: The actions to expose. By default all, with "partial_update" instead of
                "update".
            name: The singular in the names of the tools. The default is the name of the model.
            plural: The plural in the names of the tools.
            basename: The basename in its router, if the project has several URLs for the viewset.
            url: Captures of its URLs besides its own lookup, such as those of nested routers.
            kwargs: Values for captures that are not arguments of the tools, as in `path()`:
                `{"version": "v1"}`.
            query: Query parameters that cannot be detected, by action: serializer classes, pydantic
                models, or JSON Schemas.
            schema: Bodies that cannot be detected, by action, in the same form.
            page_size: The number of rows in lists that the viewset does not paginate; None for all.
            output_schemas: Whether to publish the schemas of responses. REST framework does not
                enforce them.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE. It runs
                again around each call, with the path of the view.
            policies: Policies of each of these tools, see `PolicyOptions`.

        Returns:
            The names of the tools, and the actions that cannot be tools, with reasons.

        Raises:
            DefinitionError: If an action does not exist, an action named in `actions` cannot be a
                tool, or a name is taken.
        """
        from mcp_mount_django.exposing import given_schemas, rest_tools, viewsets

        refuse_unknown_policies(self.add_viewset, policies)
        chosen = None if actions is None else several_names("actions", actions)
        endpoints = viewsets.viewset_endpoints(
            viewset,
            actions=chosen,
            naming=Naming.of(viewset, name, plural),
            basename=basename,
            url=several_names("url", url),
            fixed=dict(or_none(mapping)("kwargs", kwargs) or {}),
        )
        options = EndpointOptions(
            given_schemas.by_handler("query", query),
            given_schemas.by_handler("schema", schema),
            or_none(whole(1))("page_size", page_size),
            flag("output_schemas", output_schemas),
            Middlewares(several_names("middleware", middleware)),
        )
        by_name = chosen is not None
        return rest_tools.add_endpoints(
            self,
            endpoints,
            options,
            policies,
            by_name=by_name,
            remedy="give it another name with name=, or select others with actions=",
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
        """Make tools of an APIView or generic view of Django REST framework, or of a function with
        `@api_view`: one for each method.

        Args:
            view: The class, or what `as_view` or `@api_view` returns.
            name: The singular in the names of the tools.
            plural: The plural in the names of the tools.
            methods: The methods to expose. By default all, with PATCH instead of PUT.
            url: The arguments that its URL captures. By default those that its methods need.
            kwargs: Values for captures that are not arguments of the tools, as in `path()`.
            route: The name of its URL, if the project has several for the view.
            query: Query parameters that cannot be detected, by method: serializer classes, pydantic
                models, or JSON Schemas.
            schema: Bodies that cannot be detected, by method, in the same form.
            page_size: The number of rows in lists that the view does not paginate; None for all.
            output_schemas: Whether to publish the schemas of responses. REST framework does not
                enforce them.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE. It runs
                again around each call, with the path of the view.
            policies: Policies of each of these tools, see `PolicyOptions`.

        Returns:
            The names of the tools, and the methods that cannot be tools, with reasons.

        Raises:
            DefinitionError: If a method does not exist, a method named in `methods` cannot be a
                tool, an argument of the URL is missing, or a name is taken.
        """
        from mcp_mount_django.exposing import api_views, given_schemas, rest_tools

        refuse_unknown_policies(self.add_api_view, policies)
        chosen = None if methods is None else several_names("methods", methods)
        endpoints = api_views.view_endpoints(
            view,
            methods=chosen,
            naming=Naming.of(view, name, plural),
            url=several_names("url", url),
            fixed=dict(or_none(mapping)("kwargs", kwargs) or {}),
            route=route,
        )
        options = EndpointOptions(
            given_schemas.by_handler("query", query),
            given_schemas.by_handler("schema", schema),
            or_none(whole(1))("page_size", page_size),
            flag("output_schemas", output_schemas),
            Middlewares(several_names("middleware", middleware)),
        )
        by_name = chosen is not None
        return rest_tools.add_endpoints(
            self,
            endpoints,
            options,
            policies,
            by_name=by_name,
            remedy="give it another name with name=, or select others with methods=",
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
        `add_viewset` does for one.

        Args:
            router: A router, such as a `DefaultRouter` or a nested one. Only actions that it has
                URLs for become tools.
            include: The prefixes ("orders", "order*") or basenames of the viewsets to expose. By
                default all.
            exclude: The prefixes or basenames of viewsets to leave out.
            methods: Expose only these HTTP methods.
            names: The singulars in the names of the tools, by prefix or basename. The default is
                the name of the model, or the basename if several viewsets have the same model.
            url: Captures of the URLs around the router.
            kwargs: Values for captures that are not arguments of the tools, as in `path()`:
                `{"version": "v1"}`.
            page_size: The number of rows in lists that a viewset does not paginate; None for all.
            output_schemas: Whether to publish the schemas of responses. REST framework does not
                enforce them.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE. It runs
                again around each call, with the path of the view.
            policies: Policies of each of these tools, see `PolicyOptions`.

        Returns:
            The names of the tools, and the actions that cannot be tools, with reasons.

        Raises:
            DefinitionError: If it is not a router, a value matches nothing on it, a name is taken,
                or none of its actions can be a tool.
        """
        from mcp_mount_django.exposing import rest_routers, rest_tools

        refuse_unknown_policies(self.add_router, policies)
        endpoints = rest_routers.router_endpoints(
            router,
            include=several_names("include", include),
            exclude=several_names("exclude", exclude),
            methods=methods_in(methods),
            names=or_none(mapping)("names", names) or {},
            url=several_names("url", url),
            fixed=dict(or_none(mapping)("kwargs", kwargs) or {}),
        )
        around = Middlewares(several_names("middleware", middleware))
        size = or_none(whole(1))("page_size", page_size)
        promised = flag("output_schemas", output_schemas)
        options = EndpointOptions({}, {}, size, promised, around)
        return rest_tools.add_endpoints(
            self,
            endpoints,
            options,
            policies,
            by_name=False,
            remedy="give it another name with names=, or leave it out with exclude=",
        )
