"""Options of REST framework endpoints: what the user declares because it cannot be detected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mcp_mount_django.exposing.middlewares import Middlewares

PAGE_SIZE: Final = 100
"""The number of rows in lists that the project does not paginate."""

Schema: TypeAlias = type[Any] | Mapping[str, Any]
"""Fields that the user describes: a serializer class, a pydantic model (or another class with
fields that pydantic knows), or a JSON Schema of an object.
"""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What the user has declared about REST framework endpoints.

    Attributes:
        query: Query parameters, by action or method.
        schema: Fields of bodies, by action or method.
        page_size: The number of rows in lists that are not paginated; None for all.
        output_schemas: Whether to publish the schemas of responses.
        middleware: Middleware that runs around the views again.
    """

    query: Mapping[str, Schema]
    schema: Mapping[str, Schema]
    page_size: int | None
    output_schemas: bool
    middleware: Middlewares
