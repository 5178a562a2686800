"""Calls on an event loop that send messages before they end, as a sequence of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.questions import PendingInput
from mcp_mount.transports.channels import (
    LoopChannel,
    ThreadChannel,
    answered,
)
from mcp_mount.transports.driving import drive_async, drive_within, spawner
from mcp_mount.transports.event_queue import EventQueue
from mcp_mount.transports.executor import waiting_thread
from mcp_mount.transports.lasting import wait_until_done
from mcp_mount.transports.steps import Asked, EndOfStream, Said, StepChannel, Steps
from mcp_mount.transports.threads import Runner, off_loop
from mcp_mount.transports.timed_wait import wait_at_most
from mcp_mount.wire import sse
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.errors import ClientError

_BEGIN_SECONDS: Final = 15.0
"""How long calls wait for the response to begin, once they have said something."""


class AsyncStream(LoopChannel):
    """Runs calls in a task of its own and yields their messages, event by event.

    Args:
        calls: The calls.
        runner: How the host runs handlers.
        resumable: Whether the client may come back to the stream.
        frame: Makes an event of a message.
        held: Whether the calls wait with their first event until `release` is called: the response
            has begun then.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        runner: Runner,
        *,
        resumable: bool = False,
        held: bool = False,
        frame: Callable[[bytes], bytes] = sse.event,
    ) -> None:
        super().__init__(runner)
        self.closed = False
        self._frame = frame
        self._resumable = resumable
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._queue = EventQueue()
        self._questions: Sequence[PendingInput] = ()
        self._taken = asyncio.Event()
        self._held = held
        self._in_steps = waiting_thread() is not None
        self._task = self._loop.create_task(self._run())
        if len(calls) == 1:
            # Of a batch, only those calls are cancelled that have not begun.
            calls[0].on_cancel = self._cancel

    async def next(self, silence: float | None = None) -> bytes | None:
        """The next event; None when all calls have run; a comment after a silence in seconds."""
        event = await self._queue.get(silence)
        if not self._held:
            self._taken.set()
        return event

    def release(self) -> None:
        """Let the calls go on: the response has begun, or never will."""
        self._held = False
        self._taken.set()

    def mute(self) -> None:
        """Let the calls go on, though nobody hears any more what they say."""
        self._queue.drop()
        self._taken.set()

    @property
    def is_over(self) -> bool:
        """Whether all calls have run."""
        return self._task.done()

    async def ended(self) -> None:
        """Wait until all calls have run."""
        await asyncio.wait([self._task])

    def close(self) -> None:
        """Give the calls up: a coroutine is cancelled; a function on a thread ends unheard."""
        self.closed = True
        cancel(self._task)
        for question in self._questions:
            # A thread may wait for it.
            question.answer.cancel()
        self._queue.drop()

    async def aclose(self) -> None:
        """Close, and wait until the task is gone."""
        self.close()
        with suppress(asyncio.CancelledError):
            await self._task

    async def run(self, call: Call) -> None:
        await drive_within(call, self._runner_of(call))

    def other(self) -> SyncChannel:
        if not self._in_steps:
            return _StreamThreadChannel(self, self._loop, self._runner)
        return StepChannel(self._runner, lambda: self.closed, spawner(self._loop), self)

    async def send(self, message: bytes) -> None:
        if not self.closed:
            await self._put(self._frame(message))

    async def keep_alive(self) -> None:
        if not self.closed:
            await self._queue.put(sse.KEEP_ALIVE)

    async def close_stream(self, retry: float) -> None:
        if self._resumable and not self.closed:
            await self._put(sse.retry_event(retry))

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        if self._queue.is_dropping:
            raise ClientError("The client has left")
        self._questions = questions
        for question in questions:
            if question.message is not None:
                await self.send(question.message)
        await self._await_answers(questions)

    async def _await_answers(self, questions: Sequence[PendingInput]) -> None:
        self._questions = questions
        await answered(questions)
        self._questions = ()

    def _cancel(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    def _runner_of(self, call: Call) -> Runner:
        """How a call runs: a plain function that speaks step by step, if it shares its thread."""
        if call.is_async or not call.wants_context or not self._in_steps:
            return self._runner
        return replace(self._runner, off_loop=self._in_turns)

    async def _in_turns(self, function: Callable[[], None]) -> None:
        """Run a plain function up to where it speaks, again and again: between, its thread is free
        for the response that carries what it says."""
        steps = Steps(function)
        cancelled = False
        while True:
            step = asyncio.ensure_future(off_loop(self._runner, partial(next, steps, None)))
            if await wait_until_done(step) is not None:
                # The client has left: the function runs to its end, and what it does counts.
                cancelled = True
            said = step.result()
            if said is None:
                break
            if not cancelled:
                try:
                    await self._pass_on(said)
                except asyncio.CancelledError:
                    cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _pass_on(self, said: Said) -> None:
        if isinstance(said, Asked):
            # The function has sent them already, as messages.
            await self._await_answers(said.questions)
        elif isinstance(said, EndOfStream):
            await self.close_stream(said.retry)
        else:
            await self.send(said)

    async def _put(self, event: bytes) -> None:
        """Hand out an event. The first one begins the response: nothing else happens before, for it
        may happen on the very thread that the host needs for that."""
        await self._queue.put(event)
        if not self._taken.is_set():
            # Not for ever: middleware may have put another response in place of this one.
            await wait_at_most(self._taken, _BEGIN_SECONDS)
            self._taken.set()

    async def _run(self) -> None:
        try:
            for call in self._calls:
                if call.cancelled:
                    continue
                if call.wants_context:
                    call.bind(self if call.is_async else self.other())
                await drive_async(call, self._runner_of(call))
        finally:
            self._taken.set()
            self._queue.end()


class _StreamThreadChannel(ThreadChannel):
    """The way from a function on a thread to the stream on its loop."""

    def __init__(
        self, stream: AsyncStream, loop: asyncio.AbstractEventLoop, runner: Runner
    ) -> None:
        super().__init__(runner, spawner(loop))
        self._stream = stream
        self._loop = loop

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def other(self) -> AsyncChannel:
        return self._stream

    def send(self, message: bytes) -> None:
        if not self._stream.closed:
            asyncio.run_coroutine_threadsafe(self._stream.send(message), self._loop).result()

    def close_stream(self, retry: float) -> None:
        asyncio.run_coroutine_threadsafe(self._stream.close_stream(retry), self._loop).result()

    def ask(self, questions: Sequence[PendingInput]) -> None:
        if self._stream.closed:
            raise ClientError("The client has left")
        asyncio.run_coroutine_threadsafe(self._stream.ask(questions), self._loop).result()
        if self._stream.closed:
            raise ClientError("The client has left")
