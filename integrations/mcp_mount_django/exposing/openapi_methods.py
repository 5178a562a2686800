"""The method of a server that exposes endpoints described by an OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import Unpack

from mcp_mount.openapi.adding import Exposed, add_operations
from mcp_mount.openapi.options import (
    ExposeOptions,
    choice_in,
    policies_in,
    refuse_unfit_exposing,
)
from mcp_mount.openapi.targets import calling
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
        middleware: str | Sequence[str] = (),
        **options: Unpack[ExposeOptions],
    ) -> Exposed:
        """Make tools of endpoints of a NinjaAPI, or of another OpenAPI document of this project.

        Calls go to the views of the project's URLs, with all their decorators, as the server's
        caller. Documents that are generated from the project's URLs, such as drf-spectacular's, can
        be built in the URLconf, after `urlpatterns`.

        Args:
            api: A NinjaAPI with all its routers, or a document (3.0, 3.1) with whole paths.
            middleware: Middleware of the project that decides by path, as in MIDDLEWARE. It runs
                again around each call, with the path of the endpoint.
            options: The selection of endpoints and the policies of their tools. `paths` are below
                the API. `output_schemas` is True by default for Django Ninja, which enforces them.

        Returns:
            The names of the tools, and the matching endpoints that cannot be tools, with reasons.

        Raises:
            DefinitionError: If nothing is selected, a value matches no endpoint, an endpoint named
                in `operations` cannot be a tool, or a name is taken.
        """
        from mcp_mount_django.exposing import openapi_documents

        refuse_unfit_exposing(self.expose, options)
        document, root = openapi_documents.document_of(api)
        return add_operations(
            self,
            [document],
            choice_in(options),
            calling(
                openapi_documents.sending(
                    root, Middlewares(several_names("middleware", middleware))
                )
            ),
            forward=(),
            policies=policies_in(options),
            output_schemas=options.get("output_schemas"),
            login=login_paths,
        )
