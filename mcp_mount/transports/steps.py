"""Plain functions that run step by step on their own thread, and what they send in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from greenlet import getcurrent, greenlet

from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.questions import PendingInput
from mcp_mount.protocol.exchange import Exchange
from mcp_mount.transports import background
from mcp_mount.transports.channels import (
    AsyncNullChannel,
    ThreadChannel,
)
from mcp_mount.transports.driving import Spawn, drive, spawner
from mcp_mount.transports.executor import branch, thread_of
from mcp_mount.transports.threads import Runner, off_loop
from mcp_mount.wire import sse
from mcp_mount.wire.errors import ClientError

_ELSEWHERE: Final = (
    "Here a handler speaks to its client on its own thread only: collect what other threads "
    "have to say, and say it where the handler waits for them"
)


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

    A client that leaves closes the iterator: the function runs to its end then, unheard.

    Args:
        call: The call.
        runner: How the host runs handlers.
        exchange: The exchange that it belongs to.
        spawn: Starts coroutines.
    """
    left = False
    call.bind(StepChannel(runner, lambda: left or call.cancelled, spawn))
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


class StepChannel(ThreadChannel):
    """The channel of a plain function that is run stepwise.

    Args:
        runner: How the host runs handlers.
        closed: Returns whether nobody listens.
        spawn: Starts coroutines.
        other: The channel of coroutines that it calls; by default its thread, which waits for them,
            sends their messages.
    """

    def __init__(
        self,
        runner: Runner,
        closed: Callable[[], bool],
        spawn: Spawn,
        other: AsyncChannel | None = None,
    ) -> None:
        super().__init__(runner, spawn)
        self._closed = closed
        self._other = other

    def other(self) -> AsyncChannel:
        return self._other or _Relayed(self._runner, self._closed, self)

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


class _Relayed(AsyncNullChannel):
    """The channel of a coroutine that a plain function calls: the thread of the function, which
    waits for the coroutine and serves it, sends its messages."""

    def __init__(self, runner: Runner, closed: Callable[[], bool], channel: StepChannel) -> None:
        super().__init__(runner, closed)
        self._channel = channel

    def other(self) -> SyncChannel:
        spawn = spawner(asyncio.get_running_loop())
        return StepChannel(self._runner, self._closed, spawn, self)

    async def send(self, message: bytes) -> None:
        await off_loop(self._runner, partial(self._channel.send, message))

    async def close_stream(self, retry: float) -> None:
        await off_loop(self._runner, partial(self._channel.close_stream, retry))

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        await off_loop(self._runner, partial(self._channel.ask, questions))
