"""Reading the response of an upstream into the answer of a model, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Protocol

import anyio

from mcp_mount.backends.models.upstreams.failures import decoded
from mcp_mount.backends.models.upstreams.responses import UpstreamResponse
from mcp_mount.llm.answers import ChatCompletion, Delta, Gathering
from mcp_mount.llm.models import Invocation

_DONE: Final = b"[DONE]"
_DRAIN_SECONDS: Final = 0.2


class AnswerReader(Protocol):
    """Makes pieces of what an upstream sends in its own form.

    Attributes:
        model: The name of the model that answers, as it says itself.
        is_done: Whether the upstream has said that its answer is at its end.
    """

    model: str | None
    is_done: bool

    def read(self, chunk: Any) -> Iterator[Delta]: ...

    def end(self) -> Iterator[Delta]: ...


async def answer_of(
    reply: UpstreamResponse, reader: AnswerReader, invocation: Invocation
) -> ChatCompletion:
    """The answer in a response; its pieces go to whoever asks as they come.

    Args:
        reply: The response, with a JSON object or a stream of events, whatever was asked for.
        reader: Knows the form of the upstream.
        invocation: What the model was asked.

    Raises:
        ModelError: If it is none.
    """
    gathering = Gathering()
    if reply.is_stream:
        async with aclosing(reply.events()) as events:
            async for data in events:
                if data == _DONE:
                    reader.is_done = True
                else:
                    for delta in pieces_in(decoded(data), reader, gathering):
                        await _put(delta, invocation)
                if reader.is_done:
                    break
            with anyio.move_on_after(_DRAIN_SECONDS):
                # A response that has been read to its end leaves its connection to the next one.
                async for _ in events:
                    pass
    else:
        for delta in pieces_in(await reply.json(), reader, gathering):
            await _put(delta, invocation)
        reader.is_done = True
    return await ended(gathering, reader, invocation)


async def ended(
    gathering: Gathering, reader: AnswerReader, invocation: Invocation
) -> ChatCompletion:
    """The answer, after its last piece.

    Raises:
        ModelError: If it is not at its end.
    """
    for delta in last_pieces(gathering, reader):
        if invocation.request.stream:
            await invocation.pieces.put(delta)
    return gathering.whole()


def last_pieces(gathering: Gathering, reader: AnswerReader) -> list[Delta]:
    """The pieces that end an answer: why it ends, if it has not said so, and its usage.

    Raises:
        ModelError: If it is not at its end.
    """
    usage = list(reader.end())
    last = [*gathering.endings(), *usage]
    for delta in last:
        gathering.add(delta)
    gathering.model = gathering.model or reader.model
    return last


def pieces_in(chunk: Any, reader: AnswerReader, gathering: Gathering) -> Iterator[Delta]:
    """The pieces in a chunk of an answer. The first of the answer names its model.

    Args:
        chunk: The chunk, in JSON form.
        reader: Knows the form of the upstream.
        gathering: Has the pieces before, and takes these.

    Raises:
        ModelError: If it is no part of an answer.
    """
    for delta in reader.read(chunk):
        named = replace(delta, model=reader.model) if gathering.is_empty else delta
        gathering.add(named)
        yield named


async def _put(delta: Delta, invocation: Invocation) -> None:
    if invocation.request.stream:
        await invocation.pieces.put(delta)
