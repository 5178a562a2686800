"""Calls of models by HTTP requests: of chat models, of embeddings and of image backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.features import Registry
from mcp_mount.features.model_calls import ModelCall
from mcp_mount.features.registry import body_limit
from mcp_mount.routes.gate import (
    checked,
    hooks_of,
    incoming_of,
    known,
    too_large,
    usual_body_limit,
)
from mcp_mount.routes.parts import protocol_of

T = TypeVar("T")
M = TypeVar("M", bound=ModelCall[Any])


async def called(request: Request, incoming: IncomingRequest, make: Callable[[], M]) -> M:
    """The call that `make` makes of a request.

    Args:
        request: The HTTP request.
        incoming: What `incoming_for` has made of it.
        make: Makes the call.

    Raises:
        HTTPException: 413 if the body is larger than what the model takes.
    """
    call = await opened(request, incoming, make)
    usual = usual_body_limit(request)
    if len(incoming.request.body) > usual:
        # It has been read because another model may take as much.
        limit = body_limit(call.model.policies, usual)
        if len(incoming.request.body) > limit:
            raise too_large(limit)
    return call


async def opened(request: Request, incoming: IncomingRequest, make: Callable[[], T]) -> T:
    """What `make` makes of a request: off the event loop, if the rules that it asks may block."""
    server = protocol_of(request)
    if incoming.request.may_block or (server is not None and server.settings.may_block):
        found: T = await checked(request, make)
        return found
    return make()


async def incoming_for(
    request: Request, registry: Registry, method: str, name: str | None
) -> IncomingRequest:
    """A request that asks for a model, as handlers know requests.

    Args:
        request: The HTTP request.
        registry: That of the server.
        method: How logs and audits name the kind of call.
        name: The name of the model.
    """
    read = await known(request)
    read.body = await request.body()
    incoming = incoming_of(read, name or "", registry, hooks_of(request))
    incoming.method = method
    return incoming
