"""Turn endpoints of REST framework into tools. Those that cannot be tools are left out and
reported, or refused if they are named explicitly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_mount.features import DefinitionError
from mcp_mount.openapi.adding import Exposed, add_operations
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document
from mcp_mount.openapi.targets import Target
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount_django.exposing.responses import login_paths
from mcp_mount_django.exposing.rest_calls import function_of
from mcp_mount_django.exposing.rest_endpoints import Endpoint
from mcp_mount_django.exposing.rest_operations import document_of
from mcp_mount_django.exposing.rest_options import EndpointOptions


def add_endpoints(
    server: Any,
    endpoints: Iterable[Endpoint],
    options: EndpointOptions,
    policies: Mapping[str, Any],
    *,
    by_name: bool,
    remedy: str,
) -> Exposed:
    """Make tools of endpoints: of all that can be tools, or of none.

    Args:
        server: The server or router that gets the tools.
        endpoints: The endpoints.
        options: What the user has declared about them.
        policies: The policies of each tool.
        by_name: Whether the user has named the endpoints, so that each must work.
        remedy: What to write if a name is taken.

    Raises:
        DefinitionError: If a named endpoint cannot be a tool, none is left, or a name is taken.
    """
    chosen = list(endpoints)
    _refuse_strangers(chosen, options)
    documents: list[Document] = []
    known: dict[tuple[str, str], Endpoint] = {}
    left_out: dict[str, str] = {}
    for one in chosen:
        try:
            documents.append(document_of(one, options))
        except Exception as error:
            # Serializers, views and filters run here: whatever their code raises is a reason.
            is_ours = isinstance(error, DefinitionError)
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            if by_name:
                raise DefinitionError(f"{one} cannot be a tool: {reason}") from error
            left_out[f"{one.method.upper()} {one.path}"] = f"{one}: {reason}"
        else:
            known[one.path, one.method] = one
    if chosen and not known:
        reasons = "".join(f"\n{reason}" for reason in left_out.values())
        raise DefinitionError(f"none of the endpoints can be a tool:{reasons}")

    def function(target: Target) -> Any:
        endpoint = known[target.operation.path, target.operation.method]
        return function_of(endpoint, options, target)

    return add_operations(
        server,
        documents,
        Choice(operations=[one.tool for one in known.values()] if by_name else (), remedy=remedy),
        function,
        forward=(),
        policies=policies,
        output_schemas=options.output_schemas,
        login=login_paths,
        unreadable=left_out,
    )


def _refuse_strangers(endpoints: Iterable[Endpoint], options: EndpointOptions) -> None:
    handlers = [one.handler for one in endpoints]
    for name, table in (("query", options.query), ("schema", options.schema)):
        refuse_unknown(f"{name}= matches no endpoint:", table, handlers)
