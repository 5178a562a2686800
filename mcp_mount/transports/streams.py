"""Calls that speak before they end, as a sequence of events: on an event loop, or on a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final

from greenlet import GreenletExit, getcurrent, greenlet

from mcp_mount.protocol import sse
from mcp_mount.protocol.calls import Call
from mcp_mount.protocol.channels import AsyncChannel, SyncChannel
from mcp_mount.protocol.errors import ClientError
from mcp_mount.protocol.questions import Question
from mcp_mount.transports import background
from mcp_mount.transports.driving import Spawn, drive, drive_async, spawner
from mcp_mount.transports.threads import Runner

_MOST_WAITING: Final = 64
"""Events held for a slow client before its handler has to wait."""


class Silence:
    """The channel of a call whose client takes no event stream: what it says is dropped."""

    def __init__(self, call: Call, runner: Runner, spawn: Spawn = background.spawn) -> None:
        self._call = call
        self._runner = runner
        self._spawn = spawn

    @property
    def closed(self) -> bool:
        return self._call.cancelled

    def run(self, call: Call) -> None:
        drive(call, self._runner, self._spawn)

    def other(self) -> AsyncChannel:
        return AsyncSilence(self._call, self._runner)

    def close_stream(self, retry: float) -> None:
        pass

    def send(self, message: bytes) -> None:
        pass

    def ask(self, questions: Sequence[Question]) -> None:
        raise ClientError("The client takes no event stream, so it cannot be asked")


class AsyncSilence:
    """`Silence`, for coroutine functions."""

    def __init__(self, call: Call, runner: Runner) -> None:
        self._call = call
        self._runner = runner

    async def run(self, call: Call) -> None:
        await drive_async(call, self._runner)

    def other(self) -> SyncChannel:
        return Silence(self._call, self._runner, spawner(asyncio.get_running_loop()))

    async def send(self, message: bytes) -> None:
        pass

    async def keep_alive(self) -> None:
        pass

    async def close_stream(self, retry: float) -> None:
        pass

    async def ask(self, questions: Sequence[Question]) -> None:
        raise ClientError("The client takes no event stream, so it cannot be asked")


async def answered(questions: Sequence[Question]) -> None:
    """Wait until all questions have their answers, or the time of the last one is over."""
    answers = [asyncio.wrap_future(question.answer) for question in questions]
    await asyncio.wait(answers, timeout=max(question.timeout for question in questions))


def silence(call: Call, runner: Runner, spawn: Spawn = background.spawn) -> None:
    """Give a call a channel on which nothing is heard. spawn: where coroutines go from it."""
    call.bind(AsyncSilence(call, runner) if call.is_async else Silence(call, runner, spawn))


class AsyncStream:
    """Runs calls in a task of its own and gives what they say, event by event.

    resumable: whether the client may come back to the stream. frame: makes an event of a message.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        runner: Runner,
        *,
        resumable: bool = False,
        frame: Callable[[bytes], bytes] = sse.event,
    ) -> None:
        self.closed = False
        self._frame = frame
        self._resumable = resumable
        self._calls = calls
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)
        self._questions: Sequence[Question] = ()
        self._task = self._loop.create_task(self._run())
        if len(calls) == 1:
            # Of a batch, only those calls are cancelled that have not begun.
            calls[0].on_cancel = self._cancel

    async def next(self, *, keep_alive: bool = True) -> bytes | None:
        """The next event; None when all calls have run; a comment after a long silence."""
        if not keep_alive:
            return await self._queue.get()
        try:
            return await asyncio.wait_for(self._queue.get(), sse.KEEP_ALIVE_SECONDS)
        except asyncio.TimeoutError:
            return sse.KEEP_ALIVE

    def close(self) -> None:
        """Give the calls up: a coroutine is cancelled; a function on a thread ends unheard."""
        self.closed = True
        self._task.cancel()
        for question in self._questions:
            # A thread may wait for it.
            question.answer.cancel()
        with suppress(asyncio.QueueEmpty):
            while True:
                self._queue.get_nowait()

    async def aclose(self) -> None:
        """Close, and wait until the task is gone."""
        self.close()
        with suppress(asyncio.CancelledError):
            await self._task

    async def run(self, call: Call) -> None:
        await drive_async(call, self._runner)

    def other(self) -> SyncChannel:
        return _ThreadChannel(self, self._loop, self._runner)

    async def send(self, message: bytes) -> None:
        if not self.closed:
            await self._queue.put(self._frame(message))

    async def keep_alive(self) -> None:
        if not self.closed:
            await self._queue.put(sse.KEEP_ALIVE)

    async def close_stream(self, retry: float) -> None:
        if self._resumable and not self.closed:
            await self._queue.put(sse.goodbye(retry))

    async def ask(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        for question in questions:
            if question.message is not None:
                await self.send(question.message)
        await answered(questions)
        self._questions = ()

    def _cancel(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    async def _run(self) -> None:
        try:
            for call in self._calls:
                if call.cancelled:
                    continue
                if call.wants_context:
                    call.bind(self if call.is_async else self.other())
                await drive_async(call, self._runner)
        finally:
            if self.closed:
                with suppress(asyncio.QueueFull):
                    self._queue.put_nowait(None)
            else:
                await self._queue.put(None)


class _ThreadChannel:
    """The way from a function on a thread to the stream on its loop."""

    def __init__(
        self, stream: AsyncStream, loop: asyncio.AbstractEventLoop, runner: Runner
    ) -> None:
        self._stream = stream
        self._loop = loop
        self._runner = runner

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def run(self, call: Call) -> None:
        drive(call, self._runner, spawner(self._loop))

    def other(self) -> AsyncChannel:
        return self._stream

    def send(self, message: bytes) -> None:
        if not self._stream.closed:
            asyncio.run_coroutine_threadsafe(self._stream.send(message), self._loop).result()

    def close_stream(self, retry: float) -> None:
        asyncio.run_coroutine_threadsafe(self._stream.close_stream(retry), self._loop).result()

    def ask(self, questions: Sequence[Question]) -> None:
        if self._stream.closed:
            raise ClientError("The client has left")
        asyncio.run_coroutine_threadsafe(self._stream.ask(questions), self._loop).result()
        if self._stream.closed:
            raise ClientError("The client has left")


def inline_events(call: Call, runner: Runner, *, resumable: bool = False) -> Iterator[bytes]:
    """Run a plain function on this very thread and yield what it says while it runs.

    The function runs in a greenlet: when it speaks, it is set aside and the event handed out; the
    next step resumes it. So it keeps its thread, and with that the thread-local things of its
    host, such as database connections. Closing the iterator ends it at the place where it spoke, as
    does cancelling the call. resumable: whether the client may come back to the stream.
    """
    call.bind(_InlineChannel(call, runner, resumable=resumable))
    run = greenlet(partial(copy_context().run, drive, call, runner))
    said = run.switch()
    try:
        while not run.dead:
            yield said
            run.parent = getcurrent()
            if call.cancelled:
                return
            said = run.switch()
    finally:
        if not run.dead:
            run.parent = getcurrent()
            run.throw(GreenletExit)


class _InlineChannel:
    """The way from a function in a greenlet to the iterator that runs it."""

    def __init__(self, call: Call, runner: Runner, *, resumable: bool) -> None:
        self._call = call
        self._runner = runner
        self._resumable = resumable

    def run(self, call: Call) -> None:
        drive(call, self._runner)

    def other(self) -> AsyncChannel:
        # Only this greenlet can speak.
        return AsyncSilence(self._call, self._runner)

    @property
    def closed(self) -> bool:
        # A client that has left ends the greenlet: while the function runs, it has not.
        return self._call.cancelled

    def close_stream(self, retry: float) -> None:
        if self._resumable:
            self._hand_out(sse.goodbye(retry))

    def send(self, message: bytes) -> None:
        self._hand_out(sse.event(message))

    def ask(self, questions: Sequence[Question]) -> None:
        for question in questions:
            if question.message is not None:
                self.send(question.message)
        deadline = time.monotonic() + max(question.timeout for question in questions)
        answers = [question.answer for question in questions]
        while (left := deadline - time.monotonic()) > 0:
            if not wait(answers, timeout=min(left, sse.KEEP_ALIVE_SECONDS)).not_done:
                break
            self._hand_out(sse.KEEP_ALIVE)
            if self.closed:
                raise ClientError("The client has cancelled the call")

    @staticmethod
    def _hand_out(event: bytes) -> None:
        parent = getcurrent().parent
        assert parent is not None, "the function runs in a greenlet of its own"
        parent.switch(event)


def background_events(call: Call, runner: Runner, *, resumable: bool = False) -> Iterator[bytes]:
    """Run a coroutine function on the background loop and yield here what it says.

    Closing the iterator cancels it. resumable: whether the client may come back to the stream.
    """
    said: SimpleQueue[bytes | None] = SimpleQueue()
    outcome, cancel = background.spawn(_pump(call, runner, said, resumable))
    try:
        event = said.get()
        while event is not None:
            yield event
            try:
                event = said.get(timeout=sse.KEEP_ALIVE_SECONDS)
            except Empty:
                event = sse.KEEP_ALIVE
    finally:
        if not outcome.done():
            cancel()
            # The contexts and connections of the request are the coroutine's until it has ended.
            wait([outcome])
    outcome.result()


async def _pump(call: Call, runner: Runner, said: SimpleQueue[Any], resumable: bool) -> None:
    stream = AsyncStream([call], runner, resumable=resumable)
    try:
        while (event := await stream.next(keep_alive=False)) is not None:
            said.put(event)
    finally:
        await stream.aclose()
        said.put(None)
