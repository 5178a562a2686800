"""Answers as they come: calls that speak, and the response of events that has what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final, Generic, Protocol, TypeVar

from fastapi import Request

from mcp_mount.calls.call import Call
from mcp_mount.llm.errors import ModelError
from mcp_mount.routes.errors import told
from mcp_mount.routes.gate import runner_of
from mcp_mount.routes.openai.events import EventResponse
from mcp_mount.routes.openai.together import together
from mcp_mount.routes.parts import keep_alive_of
from mcp_mount.transports.attending import Departure, run_calls
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.pieces import PieceStream
from mcp_mount.wire.cancellation import cancel

C = TypeVar("C", bound=Call)

_KEEP_ALIVE: Final = b": keep-alive\n\n"

_WHILE_WAITING: Final = 3
"""How much more often comments come before the first piece. Under WSGI a client that has left is
noticed when something is sent to it, and a model that has said nothing is easily let go."""


class StreamWriter(Protocol):
    """How a streamed answer is written."""

    def events(self, pieces: Sequence[Any]) -> bytes:
        """Pieces of the answer. Without any: what begins a response that has none yet."""

    def end(self) -> bytes:
        """What ends it."""

    def failure(self, error: dict[str, Any]) -> bytes:
        """What ends it if it has failed on its way."""


class Reading(Generic[C]):
    """Runs the calls that answer one request, and reads what they say: all of one, then all of the
    next.

    Attributes:
        calls: The calls.
    """

    def __init__(
        self,
        request: Request,
        calls: Sequence[C],
        streams: Sequence[PieceStream],
        *,
        at_once: bool = False,
    ) -> None:
        """Prepare.

        Args:
            request: The HTTP request.
            calls: The calls.
            streams: Where each puts its pieces.
            at_once: Whether the calls run at the same time, and not one after another.
        """
        self.calls = calls
        self._at_once = at_once
        self._streams = streams
        self._runner = runner_of(request)
        self._keep_alive = keep_alive_of(request)
        self._left = False

    def shown(self, number: int, pieces: list[Any]) -> Sequence[Any]:
        """What the client gets of pieces.

        Args:
            number: Of the call.
            pieces: What it has said.
        """
        return pieces

    async def rest(self, number: int, *, has_spoken: bool) -> Sequence[Any]:
        """What the client gets at the end of a call.

        Args:
            number: Of the call.
            has_spoken: Whether there were pieces of it.

        Raises:
            Exception: What has ended the call in place of an answer.
        """
        raise NotImplementedError

    def leave(self) -> None:
        """Read no more."""
        self._left = True
        for stream in self._streams:
            stream.close()

    async def pieces(self) -> AsyncGenerator[Sequence[Any] | None, None]:
        """What the client gets, piece by piece; None after a silence.

        Raises:
            Exception: What has ended a call.
        """
        async with together(self.calls), aclosing(self._all()) as all_:
            async for taken in all_:
                yield taken

    async def _all(self) -> AsyncGenerator[Sequence[Any] | None, None]:
        silence = self._keep_alive
        running: list[asyncio.Task[None]] = []
        try:
            for number, stream in enumerate(self._streams):
                while len(running) <= (len(self.calls) - 1 if self._at_once else number):
                    running.append(self._begin(len(running)))
                has_spoken = False
                while (taken := await stream.take(silence)) is not None:
                    if not taken:
                        if not (number or has_spoken):
                            silence = self._keep_alive / _WHILE_WAITING
                        yield None
                        continue
                    has_spoken = True
                    silence = self._keep_alive
                    if shown := self.shown(number, taken):
                        yield shown
                if self._left:
                    raise ModelError("The client has left", status=499)
                await running[number]
                if rest := await self.rest(number, has_spoken=has_spoken):
                    yield rest
                silence = self._keep_alive
        finally:
            await self._end(running)

    def _begin(self, number: int) -> asyncio.Task[None]:
        return keep(asyncio.create_task(self._run(self.calls[number], self._streams[number])))

    async def _end(self, running: Sequence[asyncio.Task[None]]) -> None:
        """End calls whose answers nobody reads any more, and wait until they have ended."""
        for call, stream, task in zip(self.calls, self._streams, running, strict=False):
            stream.close()
            # Python cannot stop a thread: a plain function ends with its next piece.
            if call.is_async and not task.done():
                cancel(task)
        for task in running:
            if not task.done():
                await wait_until_done(task)

    async def _run(self, call: Call, stream: PieceStream) -> None:
        try:
            # Nobody watches for the client here: the reader does.
            await run_calls([call], self._runner)
        finally:
            stream.end()


async def streamed(
    request: Request, reading: Reading[Any], writer: StreamWriter, what: str
) -> EventResponse:
    """The answer to a request as it comes.

    The response begins with the first piece: what fails before has a status of its own. After a
    silence it begins all the same, before a proxy takes the request for dead, and a failure is an
    event.

    Args:
        request: The HTTP request.
        reading: The answer.
        writer: Writes it.
        what: What answers, for an event that says that it has failed.

    Raises:
        Exception: What has ended the answer before the response began.
    """
    departure = Departure(request.receive, reading.leave)
    pieces = reading.pieces()
    try:
        first = await anext(pieces, ())
        begun = _written(first, writer)
    except BaseException:
        departure.end_watch()
        await pieces.aclose()
        raise
    return EventResponse(_events(begun, pieces, writer, what), departure)


def _written(pieces: Sequence[Any] | None, writer: StreamWriter) -> bytes:
    return writer.events(()) + _KEEP_ALIVE if pieces is None else writer.events(pieces)


async def _events(
    begun: bytes,
    pieces: AsyncGenerator[Sequence[Any] | None, None],
    writer: StreamWriter,
    what: str,
) -> AsyncIterator[bytes]:
    async with aclosing(pieces):
        yield begun
        try:
            async for taken in pieces:
                yield _written(taken, writer)
            ending = writer.end()
        except Exception as error:
            ending = writer.failure(told(error, what))
        yield ending
