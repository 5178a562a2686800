"""Calls of chat models by HTTP requests, within all that is declared around the models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

from fastapi import Request
from fastapi.responses import StreamingResponse

from mcp_mount.features import Registry
from mcp_mount.features.models import METHOD, ModelCall
from mcp_mount.llm.answers import ChatCompletion, Delta
from mcp_mount.llm.models import NO_PIECES
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.routes.errors import told
from mcp_mount.routes.gate import hooks_of, incoming_of, runner_of
from mcp_mount.routes.parts import registry_of
from mcp_mount.transports.asgi import run_calls
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.pieces import PieceStream
from mcp_mount.transports.scopes import read_headers, request_of
from mcp_mount.wire.cancellation import cancel

_SILENCE: Final = 15.0
"""After how many seconds without a piece a comment is sent, so that nobody takes the connection for
dead."""


class Form(Protocol):
    """How an answer in pieces is written."""

    def events(self, deltas: list[Delta]) -> bytes: ...

    def end(self) -> bytes: ...

    def failure(self, error: dict[str, Any]) -> bytes: ...


async def call_of(
    request: Request, registry: Registry, wanted: ChatRequest, pieces: Any = NO_PIECES
) -> ModelCall:
    """The call of the model that a request names.

    Args:
        request: The HTTP request.
        registry: That of the router, for a router that no server includes.
        wanted: What the model is asked.
        pieces: Takes the pieces of the answer.

    Raises:
        ModelError: If there is no such model, for this caller.
        ProtocolError: If an access token with more scopes is missing.
    """
    read = request_of(request.scope, read_headers(request.scope))
    read.body = await request.body()
    whole = registry_of(request, registry)
    incoming = incoming_of(read, wanted.model or "", whole, hooks_of(request))
    incoming.method = METHOD
    return whole.model_call(incoming, wanted, pieces)


async def completed(request: Request, call: ModelCall) -> ChatCompletion:
    """The whole answer to a request; a client that leaves cancels its model.

    Raises:
        Exception: What has ended the call instead.
    """
    await run_calls([call], runner_of(request), request.receive)
    return call.completion()


async def streamed(
    request: Request, call: ModelCall, pieces: PieceStream, form: Form, media_type: str
) -> StreamingResponse:
    """The answer to a request as it comes.

    The response begins with the first piece: what fails before has a status of its own.

    Args:
        request: The HTTP request.
        call: The call.
        pieces: Has the pieces of its answer.
        form: How they are written.
        media_type: That of the response.

    Raises:
        Exception: What has ended the call before the first piece.
    """
    running = keep(asyncio.create_task(_run(request, call, pieces)))
    try:
        first = await pieces.take()
    except BaseException:
        await _leave(call, running, pieces)
        raise
    if first is None:
        await running
        # It was kept from an earlier call.
        first = list(call.completion().deltas())
    events = _events(call, pieces, form, first, running)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type=media_type, headers=headers)


async def _run(request: Request, call: ModelCall, pieces: PieceStream) -> None:
    try:
        # Not `request.receive`: the response watches for a client that leaves.
        await run_calls([call], runner_of(request))
    finally:
        pieces.end()


async def _events(
    call: ModelCall,
    pieces: PieceStream,
    form: Form,
    first: list[Delta],
    running: asyncio.Task[None],
) -> AsyncIterator[bytes]:
    try:
        yield form.events(first)
        while (taken := await pieces.take(_SILENCE)) is not None:
            yield form.events(taken) if taken else b": keep-alive\n\n"
        await running
        try:
            call.completion()
        except Exception as error:
            yield form.failure(told(error, f"The model {call.model.name!r}"))
            return
        yield form.end()
    finally:
        await _leave(call, running, pieces)


async def _leave(call: ModelCall, running: asyncio.Task[None], pieces: PieceStream) -> None:
    """End a model whose answer nobody reads any more, and wait until it has ended."""
    pieces.close()
    if running.done():
        return
    if call.is_async:
        cancel(running)
    # Python cannot stop a thread: a plain function ends with its next piece.
    await wait_until_done(running)
