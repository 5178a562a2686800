"""Calls that speak before they end, as a sequence of events: on an event loop, or on a thread."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from greenlet import getcurrent, greenlet

from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.questions import PendingInput
from mcp_mount.protocol.exchange import Exchange
from mcp_mount.protocol.resumption import MAX_UNREAD, MAX_UNREAD_BYTES
from mcp_mount.transports import background
from mcp_mount.transports.driving import Spawn, drive, drive_async, drive_within, spawner
from mcp_mount.transports.event_queue import EventQueue
from mcp_mount.transports.lasting import wait_until_done
from mcp_mount.transports.threads import (
    Executor,
    Runner,
    branch,
    off_loop,
    open_call,
    serving,
    thread_of,
    waiting_thread,
)
from mcp_mount.wire import sse
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.errors import ClientError

_BEGIN_SECONDS: Final = 15.0
"""How long calls wait for the response to begin, once they have said something."""

_ELSEWHERE: Final = (
    "Here a handler speaks to its client on its own thread only: collect what other threads "
    "have to say, and say it where the handler waits for them"
)


class NullChannel:
    """The channel of a call whose client accepts no event stream: messages are dropped.

    Args:
        runner: How the host runs handlers.
        closed: Returns whether nobody waits for the call any more.
        spawn: Starts coroutines.
    """

    def __init__(
        self, runner: Runner, closed: Callable[[], bool], spawn: Spawn = background.spawn
    ) -> None:
        self._runner = runner
        self._closed = closed
        self._spawn = spawn

    @property
    def closed(self) -> bool:
        return self._closed()

    def run(self, call: Call) -> None:
        drive(call, self._runner, self._spawn)

    def other(self) -> AsyncChannel:
        return AsyncNullChannel(self._runner, self._closed)

    def close_stream(self, retry: float) -> None:
        pass

    def send(self, message: bytes) -> None:
        pass

    def ask(self, questions: Sequence[PendingInput]) -> None:
        raise ClientError("The client takes no event stream, so it cannot be asked")


class AsyncNullChannel:
    """`NullChannel`, for coroutine functions."""

    def __init__(self, runner: Runner, closed: Callable[[], bool]) -> None:
        self._runner = runner
        self._closed = closed

    async def open(self, make: Callable[[], Call], *, may_block: bool) -> Call:
        return await open_call(self._runner, make, may_block=may_block)

    async def run(self, call: Call) -> None:
        await drive_within(call, self._runner)

    def other(self) -> SyncChannel:
        return NullChannel(self._runner, self._closed, spawner(asyncio.get_running_loop()))

    async def send(self, message: bytes) -> None:
        pass

    async def keep_alive(self) -> None:
        pass

    async def close_stream(self, retry: float) -> None:
        pass

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        raise ClientError("The client takes no event stream, so it cannot be asked")


async def answered(questions: Sequence[PendingInput]) -> None:
    """Wait until all questions have their answers, or the time of the last one is over."""
    answers = [asyncio.wrap_future(question.answer) for question in questions]
    await asyncio.wait(answers, timeout=max(question.timeout for question in questions))


def silence(call: Call, runner: Runner, spawn: Spawn = background.spawn) -> None:
    """Give a call a channel that drops messages.

    Args:
        call: The call.
        runner: How the host runs handlers.
        spawn: Starts coroutines.
    """
    closed = partial(getattr, call, "cancelled")
    call.bind(
        AsyncNullChannel(runner, closed) if call.is_async else NullChannel(runner, closed, spawn)
    )


class AsyncStream:
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
        self.closed = False
        self._frame = frame
        self._resumable = resumable
        self._calls = calls
        self._runner = runner
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

    async def open(self, make: Callable[[], Call], *, may_block: bool) -> Call:
        return await open_call(self._runner, make, may_block=may_block)

    async def run(self, call: Call) -> None:
        await drive_within(call, self._runner_of(call))

    def other(self) -> SyncChannel:
        if not self._in_steps:
            return _ThreadChannel(self, self._loop, self._runner)
        return _InlineChannel(self._runner, lambda: self.closed, spawner(self._loop), self)

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
            await self.ask(said.questions)
        elif isinstance(said, EndOfStream):
            await self.close_stream(said.retry)
        else:
            await self.send(said)

    async def _put(self, event: bytes) -> None:
        """Hand out an event. The first one begins the response: nothing else happens before, for it
        may happen on the very thread that the host needs for that."""
        await self._queue.put(event)
        if not self._taken.is_set():
            with suppress(asyncio.TimeoutError):
                # Not for ever: middleware may have put another response in place of this one.
                await asyncio.wait_for(self._taken.wait(), _BEGIN_SECONDS)
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

    def ask(self, questions: Sequence[PendingInput]) -> None:
        if self._stream.closed:
            raise ClientError("The client has left")
        asyncio.run_coroutine_threadsafe(self._stream.ask(questions), self._loop).result()
        if self._stream.closed:
            raise ClientError("The client has left")


@dataclass(frozen=True, slots=True)
class Asked:
    """Said by a plain function that waits for answers: to questions that it has sent already."""

    questions: Sequence[PendingInput]


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """Said by a plain function that sends its client away."""

    retry: float


Said: TypeAlias = bytes | Asked | EndOfStream
"""What a plain function says while it runs: a message, or what the driver is to do."""


_steps: ContextVar[Steps] = ContextVar("mcp_mount.steps")
"""Those of the function that runs."""


class Steps:
    """Runs a plain function on this very thread, and gives what it says while it runs.

    It runs in a greenlet: when it speaks, it is set aside and what it says handed out; the next
    step resumes it. So it keeps its thread, and with that the thread-local things of its host, such
    as database connections. All steps are for the same thread.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._run: greenlet | None = None
        # What it calls may run in a greenlet of its own, and speak there.
        self._speaker: greenlet | None = None
        self._listener: greenlet | None = None

    def __iter__(self) -> Iterator[Said]:
        return self

    def __next__(self) -> Said:
        self._listener = getcurrent()
        if self._run is None:
            # Not before: this is its thread, and these are its context variables.
            self._speaker = self._run = branch(partial(copy_context().run, self._begin))
        if not self._run.dead:
            self._run.parent = self._listener
            assert self._speaker is not None
            said: Said = self._speaker.switch()
            if not self._run.dead:
                return said
        raise StopIteration

    def close(self) -> None:
        """Run the function to its end, unheard."""
        for _ in self:
            pass

    def hand_out(self, said: Said) -> None:
        """Set the function aside until the next step. Where it runs."""
        assert self._listener is not None
        if thread_of(getcurrent()) is not thread_of(self._listener):
            raise RuntimeError(_ELSEWHERE)
        self._speaker = getcurrent()
        self._listener.switch(said)

    def _begin(self) -> None:
        _steps.set(self)
        self._function()


def inline_events(
    call: Call, runner: Runner, exchange: Exchange, spawn: Spawn = background.spawn
) -> Iterator[bytes]:
    """Run a plain function on this very thread and yield the events of what it says meanwhile.

    A client that leaves closes the iterator: the function runs to its end then, unheard. spawn:
    where coroutines go.
    """
    left = False
    call.bind(_InlineChannel(runner, lambda: left or call.cancelled, spawn))
    steps = Steps(partial(drive, call, runner, spawn))
    try:
        for said in steps:
            if isinstance(said, Asked):
                yield from _waiting(said.questions, call, exchange.keep_alive)
            elif isinstance(said, EndOfStream):
                if exchange.resumable:
                    yield sse.retry_event(said.retry)
            else:
                yield sse.event(said)
    finally:
        left = True
        steps.close()


def _waiting(questions: Sequence[PendingInput], call: Call, keep_alive: float) -> Iterator[bytes]:
    """Wait until all questions have their answers, or the time of the last one is over."""
    deadline = time.monotonic() + max(question.timeout for question in questions)
    answers = [question.answer for question in questions]
    while (left := deadline - time.monotonic()) > 0 and not call.cancelled:
        if not wait(answers, timeout=min(left, keep_alive)).not_done:
            return
        yield sse.KEEP_ALIVE


class _InlineChannel:
    """The channel of a plain function that is run stepwise.

    Attributes:
        closed: Returns whether nobody listens.
        other: Returns the channel of coroutines that it calls; by default its thread, which waits
            for them, sends their messages.
    """

    def __init__(
        self,
        runner: Runner,
        closed: Callable[[], bool],
        spawn: Spawn,
        other: AsyncChannel | None = None,
    ) -> None:
        self._runner = runner
        self._closed = closed
        self._spawn = spawn
        self._other = other

    def run(self, call: Call) -> None:
        drive(call, self._runner, self._spawn)

    def other(self) -> AsyncChannel:
        return self._other or _Spoken(self._runner, self._closed, self)

    @property
    def closed(self) -> bool:
        return self._closed()

    def close_stream(self, retry: float) -> None:
        self._hand_out(EndOfStream(retry))

    def send(self, message: bytes) -> None:
        self._hand_out(message)

    def ask(self, questions: Sequence[PendingInput]) -> None:
        for question in questions:
            if question.message is not None:
                self.send(question.message)
        if not self.closed:
            self._hand_out(Asked(questions))
        if self.closed:
            raise ClientError("The client has left, or has cancelled the call")

    def _hand_out(self, said: Said) -> None:
        if self.closed:
            return
        try:
            steps = _steps.get()
        except LookupError:
            raise RuntimeError(_ELSEWHERE) from None
        steps.hand_out(said)


class _Spoken(AsyncNullChannel):
    """The channel of a coroutine that a plain function calls, whose thread says what it has to say:
    the thread waits for the coroutine, and serves it."""

    def __init__(self, runner: Runner, closed: Callable[[], bool], channel: _InlineChannel) -> None:
        super().__init__(runner, closed)
        self._channel = channel

    def other(self) -> SyncChannel:
        spawn = spawner(asyncio.get_running_loop())
        return _InlineChannel(self._runner, self._closed, spawn, self)

    async def send(self, message: bytes) -> None:
        await off_loop(self._runner, partial(self._channel.send, message))

    async def close_stream(self, retry: float) -> None:
        await off_loop(self._runner, partial(self._channel.close_stream, retry))

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        await off_loop(self._runner, partial(self._channel.ask, questions))


def background_events(call: Call, runner: Runner, exchange: Exchange) -> Iterator[bytes]:
    """Run a coroutine function on the background loop and yield here what it says.

    Closing the iterator cancels it.
    """
    with serving() as executor:
        unread = _Unread(background.loop())
        pump = partial(_pump, call, runner, executor, exchange, unread)
        outcome, give_up = background.spawn(executor.entered(pump))
        silence = exchange.begin_after
        try:
            while True:
                try:
                    event = executor.heard(silence)
                except queue.Empty:
                    event = sse.KEEP_ALIVE
                else:
                    if event is None:
                        break
                    unread.taken(event)
                silence = exchange.keep_alive
                yield event
        finally:
            if not outcome.done():
                give_up()
                # The contexts and connections of the request are the coroutine's until it has
                # ended, and what cleans up may need this thread.
                executor.serve(outcome)
        outcome.result()


def silent_events(call: Call, runner: Runner, exchange: Exchange) -> Iterator[bytes]:
    """Run a coroutine function that says nothing on the background loop, and yield comments if it
    takes long.

    Closing the iterator cancels it, unless it goes on without its client.
    """
    with serving() as executor:
        outcome, give_up = background.spawn(executor.entered(partial(drive_async, call, runner)))
        call.on_cancel = give_up
        silence = exchange.begin_after
        try:
            while not outcome.done():
                try:
                    executor.serve(outcome, silence)
                except queue.Empty:
                    silence = exchange.keep_alive
                    yield sse.KEEP_ALIVE
        finally:
            if not outcome.done():
                if not exchange.outlives_client:
                    give_up()
                executor.serve(outcome)
        with suppress(CancelledError):
            outcome.result()


async def _pump(
    call: Call, runner: Runner, executor: Executor, exchange: Exchange, unread: _Unread
) -> None:
    stream = AsyncStream([call], runner, resumable=exchange.resumable)
    try:
        while (event := await stream.next()) is not None:
            await unread.add(event)
            executor.say(event)
    finally:
        await stream.aclose()
        executor.say(None)


class _Unread:
    """How much of what a coroutine says its thread has still to hand out, to a slow client."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._number = self._bytes = 0
        self._room: asyncio.Future[None] | None = None

    async def add(self, event: bytes) -> None:
        """Count an event in, when there is room. On the loop."""
        while True:
            with self._lock:
                if not self._number or (
                    self._number < MAX_UNREAD and self._bytes + len(event) <= MAX_UNREAD_BYTES
                ):
                    self._number += 1
                    self._bytes += len(event)
                    return
                self._room = self._loop.create_future()
            await self._room

    def taken(self, event: bytes) -> None:
        """Count an event out. On the thread."""
        with self._lock:
            self._number -= 1
            self._bytes -= len(event)
            room, self._room = self._room, None
        if room is not None:
            self._loop.call_soon_threadsafe(_tell, room)


def _tell(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
