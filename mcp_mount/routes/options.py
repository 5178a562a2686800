"""The keyword arguments of decorators, routers and `include_router`, as types.

Type checkers read them by `Unpack`, and find a misspelt one; the functions that take them refuse
what is not in `__annotations__`. Those of FastAPI are what it documents, without the ones that a
server or a router of ours refuses (`dependencies`, `title`, `max_body_size`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Literal, TypeAlias, TypedDict

from fastapi import APIRouter, params
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from mcp_mount.backends.models.tools import Tools
from mcp_mount.features.definitions import Definition
from mcp_mount.features.pages import PageDefinition
from mcp_mount.features.prices import Price
from mcp_mount.features.resources import ResourceDefinition
from mcp_mount.features.tools import ToolDefinition
from mcp_mount.policies.options import (
    PolicyOptions,
    PromptPolicies,
    ResourcePolicies,
    RouterPolicies,
)

LifespanFunction: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]


class ToolOptions(ToolDefinition, PolicyOptions, total=False):
    """What may be declared of a tool, besides its name."""


class ResourceOptions(ResourceDefinition, ResourcePolicies, total=False):
    """What may be declared of a resource, besides its URI."""


class PageOptions(PageDefinition, ResourcePolicies, total=False):
    """What may be declared of a page, besides its URI."""


class PromptOptions(Definition, PromptPolicies, total=False):
    """What may be declared of a prompt, besides its name."""


class EmbeddingOptions(ResourcePolicies, total=False):
    """What may be declared of a model that represents texts by vectors, besides its name."""

    aliases: Sequence[str]
    """Other names by which clients may ask for it."""
    description: str | None
    """What it is, for lists of models."""
    price: Price | None
    """What it costs, for budgets, audits and functions that choose; where it is left out, that of
    an upstream is looked up (extra `prices`)."""


class ModelOptions(EmbeddingOptions, total=False):
    """What may be declared of a chat model, besides its name."""

    tools: Tools | Literal["auto"] | None
    """The tools of the server that it may use for its caller: "auto" for all that the caller may
    use."""


class ImageOptions(ResourcePolicies, total=False):
    """What may be declared of an image backend, besides its name."""

    aliases: Sequence[str]
    """Other names by which clients may ask for it."""
    description: str | None
    """What it is, for lists of models."""
    price: float | Price | None
    """What a picture costs, for budgets and audits: US dollars for each, or a `Price` of its
    tokens, where the backend says how many there were."""


class _RouteOptions(TypedDict, total=False):
    """FastAPI's arguments for all routes of an application, a router or an inclusion."""

    default_response_class: type[Response]
    responses: dict[int | str, dict[str, Any]] | None
    callbacks: list[BaseRoute] | None
    deprecated: bool | None
    include_in_schema: bool
    generate_unique_id_function: Callable[[APIRoute], str]
    form_limits: Any


class IncludeOptions(_RouteOptions, total=False):
    """FastAPI's arguments of `include_router`."""

    prefix: str
    tags: list[str | Enum] | None
    dependencies: Sequence[params.Depends] | None
    max_body_size: int | None


class _OwnerOptions(_RouteOptions, total=False):
    """FastAPI's arguments of what has routes: an application and a router."""

    routes: list[BaseRoute] | None
    redirect_slashes: bool
    on_startup: Sequence[Callable[[], Any]] | None
    on_shutdown: Sequence[Callable[[], Any]] | None
    lifespan: LifespanFunction | None
    strict_content_type: bool


class APIRouterOptions(_OwnerOptions, total=False):
    """FastAPI's arguments of a router."""

    prefix: str
    tags: list[str | Enum] | None
    default: ASGIApp | None
    dependency_overrides_provider: Any
    route_class: type[APIRoute]


class RouterOptions(APIRouterOptions, RouterPolicies, total=False):
    """What may be declared of a router of ours, besides its name: policies, FastAPI's arguments."""


class NamedRouterOptions(RouterOptions, total=False):
    """The keyword arguments of a router of ours."""

    name: str | None
    """What throttles count under; by default the prefix."""


class FastAPIOptions(_OwnerOptions, total=False):
    """FastAPI's arguments of an application."""

    debug: bool
    summary: str | None
    openapi_url: str | None
    openapi_tags: list[dict[str, Any]] | None
    servers: list[dict[str, Any]] | None
    docs_url: str | None
    redoc_url: str | None
    swagger_ui_oauth2_redirect_url: str | None
    swagger_ui_init_oauth: dict[str, Any] | None
    swagger_ui_parameters: dict[str, Any] | None
    middleware: Sequence[Middleware] | None
    exception_handlers: Mapping[Any, Callable[..., Any]] | None
    terms_of_service: str | None
    contact: dict[str, Any] | None
    license_info: dict[str, Any] | None
    root_path: str
    root_path_in_servers: bool
    webhooks: APIRouter | None
    separate_input_output_schemas: bool
    openapi_external_docs: dict[str, Any] | None
