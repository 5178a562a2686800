"""Answers of chat models to HTTP requests, whole or as a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from fastapi import Request, Response

from mcp_mount.features import Registry
from mcp_mount.features.chat import METHOD, ChatCall
from mcp_mount.llm.answers import ChatCompletion, Delta
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.routes.errors import failed
from mcp_mount.routes.gate import (
    runner_of,
)
from mcp_mount.routes.openai.calls import called, incoming_for
from mcp_mount.routes.openai.streaming import Reading, StreamWriter, streamed
from mcp_mount.routes.openai.together import together
from mcp_mount.routes.openai.unheard import UnheardPieces
from mcp_mount.routes.parts import registry_of
from mcp_mount.transports.pieces import PieceStream
from mcp_mount.transports.scopes import RESUMED
from mcp_mount.wire.messages import JSON


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
