"""Calls of chat models by HTTP requests, within all that is declared around the models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from fastapi import Request, Response

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.features import Registry
from mcp_mount.features.models import METHOD, ModelCall
from mcp_mount.llm.answers import ChatCompletion, Delta
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import NO_PIECES
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.routes.errors import failed, told
from mcp_mount.routes.gate import checked, hooks_of, incoming_of, known, runner_of
from mcp_mount.routes.openai.events import EventResponse
from mcp_mount.routes.parts import protocol_of, registry_of
from mcp_mount.transports.asgi import Departure, run_calls
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.pieces import PieceStream
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.messages import JSON

T = TypeVar("T")

_SILENCE: Final = 15.0
"""After how many seconds without a piece a comment is sent, so that nobody takes the connection for
dead."""

_KEEP_ALIVE: Final = b": keep-alive\n\n"


class Form(Protocol):
    """How an answer is written: in one piece, or as events."""

    def whole(self, completions: Sequence[ChatCompletion]) -> bytes:
        """The answers to all questions, as the body of a response."""

    def events(self, deltas: Sequence[Delta]) -> bytes:
        """Pieces of a streamed answer."""

    def end(self) -> bytes:
        """What ends a streamed answer."""

    def failure(self, error: dict[str, Any]) -> bytes:
        """What ends a streamed answer that has failed on its way."""


async def answer(
    request: Request,
    registry: Registry,
    questions: Sequence[ChatRequest],
    form_of: Callable[[str], Form],
) -> Response:
    """Ask the model that a request names, within all that is declared around it.

    Args:
        request: The HTTP request.
        registry: That of the router, for a router that no server includes.
        questions: What the model is asked, at least one, all for the same model; each is a call of
            its own.
        form_of: Makes the form of the answer for the name of the model.

    Returns:
        The answer; or the error, in OpenAI's form.
    """
    calls: list[ModelCall] = []
    try:
        if questions[0].stream:
            streams = [PieceStream() for _ in questions]
            for question, pieces in zip(questions, streams, strict=True):
                calls.append(await _call_of(request, registry, question, pieces))
            reading = _Reading(calls, streams, runner_of(request))
            return await _streamed(request, reading, form_of(calls[0].model.name))
        for question in questions:
            calls.append(await _call_of(request, registry, question, NO_PIECES))
        completions = []
        for call in calls:
            # One after another: those behind one that fails would be asked, and paid, for nothing.
            await run_calls([call], runner_of(request), request.receive)
            completions.append(call.completion())
        body = form_of(calls[0].model.name).whole(completions)
        return Response(body, media_type=JSON)
    except Exception as error:
        return failed(error, _what(calls))


async def _call_of(
    request: Request, registry: Registry, wanted: ChatRequest, pieces: Any
) -> ModelCall:
    whole = registry_of(request, registry)
    incoming = await incoming_for(request, whole, METHOD, wanted.model)
    return await opened(request, incoming, partial(whole.model_call, incoming, wanted, pieces))


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


def _what(calls: Sequence[ModelCall]) -> str:
    return f"The model {calls[0].model.name!r}" if calls else "The model"


async def _streamed(request: Request, reading: _Reading, form: Form) -> EventResponse:
    """The answer to a request as it comes.

    The response begins with the first piece: what fails before has a status of its own.

    Args:
        request: The HTTP request.
        reading: The answer.
        form: How it is written.

    Raises:
        Exception: What has ended the call before the first piece.
    """
    departure = Departure(request.receive, reading.leave)
    deltas = reading.deltas()
    try:
        first = await anext(deltas)
    except BaseException:
        departure.end_watch()
        await deltas.aclose()
        raise
    return EventResponse(_events(first, deltas, form, _what(reading.calls)), departure)


async def _events(
    first: Sequence[Delta], deltas: AsyncGenerator[Sequence[Delta], None], form: Form, what: str
) -> AsyncIterator[bytes]:
    async with aclosing(deltas):
        try:
            yield form.events(first)
            async for taken in deltas:
                yield form.events(taken) if taken else _KEEP_ALIVE
        except Exception as error:
            yield form.failure(told(error, what))
        else:
            yield form.end()


class _Reading:
    """Runs the calls that answer one request, one after another, and reads what they say.

    Attributes:
        calls: The calls.
    """

    def __init__(
        self, calls: Sequence[ModelCall], streams: Sequence[PieceStream], runner: Runner
    ) -> None:
        """Prepare.

        Args:
            calls: The calls.
            streams: Where each puts its pieces.
            runner: How they run.
        """
        self.calls = calls
        self._streams = streams
        self._runner = runner
        self._left = False

    def leave(self) -> None:
        """Read no more."""
        self._left = True
        for stream in self._streams:
            stream.close()

    async def deltas(self) -> AsyncGenerator[Sequence[Delta], None]:
        """The pieces of all answers, whose choices are counted through; none after a silence.

        Raises:
            Exception: What has ended a call.
        """
        silence = None
        base = 0
        for call, pieces in zip(self.calls, self._streams, strict=True):
            running = keep(asyncio.create_task(self._run(call, pieces)))
            try:
                said = False
                while (taken := await pieces.take(silence)) is not None:
                    said = said or bool(taken)
                    silence = _SILENCE
                    yield _counted(taken, base)
                if self._left:
                    raise ModelError("The client has left", status=499)
                await running
                completion = call.completion()
                if not said:
                    # It was kept from an earlier call.
                    yield _counted(list(completion.deltas()), base)
                    silence = _SILENCE
                base += len(completion.choices)
            finally:
                await _leave(call, running, pieces)

    async def _run(self, call: ModelCall, pieces: PieceStream) -> None:
        try:
            # Nobody watches for the client here: the reader does.
            await run_calls([call], self._runner)
        finally:
            pieces.end()


def _counted(deltas: list[Delta], base: int) -> list[Delta]:
    if base:
        for delta in deltas:
            delta.choice += base
    return deltas


async def _leave(call: ModelCall, running: asyncio.Task[None], pieces: PieceStream) -> None:
    """End a model whose answer nobody reads any more, and wait until it has ended."""
    pieces.close()
    if running.done():
        return
    if call.is_async:
        cancel(running)
    # Python cannot stop a thread: a plain function ends with its next piece.
    await wait_until_done(running)
