"""Calls of chat models by HTTP requests, within all that is declared around the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from fastapi import Request, Response

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.features import Registry
from mcp_mount.features.chat import METHOD, ChatCall
from mcp_mount.features.models import RegisteredModel
from mcp_mount.features.registry import body_limit
from mcp_mount.llm.answers import ChatCompletion, Delta
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.routes.errors import failed
from mcp_mount.routes.gate import (
    checked,
    hooks_of,
    incoming_of,
    known,
    runner_of,
    too_large,
    usual_body_limit,
)
from mcp_mount.routes.openai.reading import Reading, StreamWriter, streamed
from mcp_mount.routes.openai.together import together
from mcp_mount.routes.openai.unheard import UnheardPieces
from mcp_mount.routes.parts import protocol_of, registry_of
from mcp_mount.transports.pieces import PieceStream
from mcp_mount.transports.scopes import RESUMED
from mcp_mount.wire.messages import JSON

T = TypeVar("T")


class AnswerWriter(StreamWriter, Protocol):
    """How an answer is written: in one piece, or as events."""

    def whole(self, completions: Sequence[ChatCompletion]) -> bytes:
        """The answers to all questions, as the body of a response."""


async def answer(
    request: Request,
    registry: Registry,
    questions: Sequence[ChatRequest],
    writer_of: Callable[[str], AnswerWriter],
) -> Response:
    """Ask the model that a request names, within all that is declared around it.

    Args:
        request: The HTTP request.
        registry: That of the router, for a router that no server includes.
        questions: What the model is asked, at least one, all for the same model; each is a call of
            its own.
        writer_of: Makes what writes the answer for the name of the model.

    Returns:
        The answer; or the error, in OpenAI's form.
    """
    calls: list[ChatCall] = []
    try:
        if questions[0].stream:
            streams = [PieceStream() for _ in questions]
            for question, pieces in zip(questions, streams, strict=True):
                calls.append(await _call_of(request, registry, question, pieces))
            reading = _ChatReading(request, calls, streams)
            return await streamed(request, reading, writer_of(calls[0].model.name), _what(calls))
        unheard = UnheardPieces(request.receive)
        for question in questions:
            calls.append(await _call_of(request, registry, question, unheard))
        if (begun := _begun(request)) is not None:
            calls[0].resume(begun)
        completions = []
        async with together(calls):
            for call in calls:
                # One after another: those behind one that fails would be asked, and paid, for
                # nothing.
                await unheard.run(call, runner_of(request))
                completions.append(call.answer())
        body = writer_of(calls[0].model.name).whole(completions)
        return Response(body, media_type=JSON)
    except Exception as error:
        return failed(error, _what(calls))


def _begun(request: Request) -> Callable[[], Any] | None:
    """What goes on with the model of a request, if a short way has run it already."""
    scope = request.scope
    found: Callable[[], Any] | None = scope.get(RESUMED)
    return scope.get("wsgi_environ", {}).get(RESUMED) if found is None else found


async def _call_of(
    request: Request, registry: Registry, wanted: ChatRequest, pieces: Any
) -> ChatCall:
    whole = registry_of(request, registry)
    incoming = await incoming_for(request, whole, METHOD, wanted.model)
    return await called(request, incoming, partial(whole.model_call, incoming, wanted, pieces))


class _ModelsCall(Protocol):
    """A call of a model."""

    model: RegisteredModel


M = TypeVar("M", bound=_ModelsCall)


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


def _what(calls: Sequence[ChatCall]) -> str:
    return f"The model {calls[0].model.name!r}" if calls else "The model"


class _ChatReading(Reading[ChatCall]):
    """Reads what models say. Where a request asks several questions, the choices of their answers
    are counted through."""

    def shown(self, number: int, pieces: list[Delta]) -> Sequence[Delta]:
        if len(self.calls) == 1:
            return pieces
        # As many numbers for each as were asked for, also if there are fewer answers: by these a
        # client finds its question. A piece may be the user's own, who may yield it again.
        n = self.calls[number].invocation.request.n
        return [replace(one, choice=number * n + one.choice) for one in pieces if one.choice < n]

    async def rest(self, number: int, *, has_spoken: bool) -> Sequence[Delta]:
        completion = self.calls[number].answer()
        # Without a piece it was kept from an earlier call.
        return () if has_spoken else self.shown(number, list(completion.deltas()))
