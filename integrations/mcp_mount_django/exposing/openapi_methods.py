"""The method of a server that makes tools of endpoints which an OpenAPI document describes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from mcp_mount.openapi.adding import Exposed, add_operations, refuse_unknown_policies
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.operations import METHODS, Operation
from mcp_mount.openapi.targets import calling
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.names import several_names
from mcp_mount_django.exposing.middlewares import Middlewares
from mcp_mount_django.exposing.responses import login_paths


class ExposeDocumentsMixin(HandlerDecorators):
    """Endpoints of Django Ninja and of OpenAPI documents, as tools."""

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
        from mcp_mount_django.exposing import openapi_documents

        refuse_unknown_policies(self.expose, policies)
        document, root = openapi_documents.document_of(api)
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
            calling(openapi_documents.sending(root, Middlewares(several_names(middleware)))),
            forward=(),
            policies=policies,
            output_schemas=output_schemas,
            login=login_paths,
        )
