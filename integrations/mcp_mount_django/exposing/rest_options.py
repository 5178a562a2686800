"""Options of endpoints of REST framework: what their code does not tell, and the user says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mcp_mount_django.exposing.middlewares import Middlewares

PAGE_SIZE: Final = 100
"""How many rows a list has that the project does not divide into pages."""

Schema: TypeAlias = type[Any] | Mapping[str, Any]
"""Fields that the user describes: a serializer class, a pydantic model (or another class of fields
that pydantic knows), or a JSON Schema of an object."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What the user says of endpoints of REST framework.

    Attributes:
        query: Query parameters, by action or method.
        schema: Fields of bodies, by action or method.
        page_size: How many rows a list has that is not divided into pages; None for all.
        output_schemas: Whether the schemas of answers are promised.
        middleware: What runs around the views again.
    """

    query: Mapping[str, Schema]
    schema: Mapping[str, Schema]
    page_size: int | None
    output_schemas: bool
    middleware: Middlewares
