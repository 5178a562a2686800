"""The channels of handlers: what all have in common, and those on which nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from mcp_mount.calls.call import Call
from mcp_mount.calls.channels import AsyncChannel, SyncChannel
from mcp_mount.calls.questions import PendingInput
from mcp_mount.transports import background
from mcp_mount.transports.driving import Spawn, drive, drive_within, spawner
from mcp_mount.transports.threads import Runner, open_call
from mcp_mount.wire.errors import ClientError

T = TypeVar("T")


class ThreadChannel:
    """The channel of a plain function, which runs on a thread. This one sends nothing.

    Args:
        runner: How the host runs handlers.
        spawn: Starts coroutines.
    """

    def __init__(self, runner: Runner, spawn: Spawn = background.spawn) -> None:
        self._runner = runner
        self._spawn = spawn

    @property
    def closed(self) -> bool:
        """Whether the client is known to have left."""
        return False

    def run(self, call: Call) -> None:
        """Run another call within this one."""
        drive(call, self._runner, self._spawn)

    def other(self) -> AsyncChannel:
        """The channel of a coroutine function that is called within."""
        raise NotImplementedError

    def send(self, message: bytes) -> None:
        """Drop a message."""

    def close_stream(self, retry: float) -> None:
        """Do nothing: there is no stream."""

    def ask(self, questions: Sequence[PendingInput]) -> None:
        """Refuse: nobody can be asked."""
        raise ClientError("The client takes no event stream, so it cannot be asked")


class LoopChannel:
    """The channel of a coroutine function, which runs on an event loop. This one sends nothing.

    Args:
        runner: How the host runs handlers.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def open(self, make: Callable[[], T], *, may_block: bool) -> T:
        """Make another call, or what else asks rules: where plain functions run, if they may
        block."""
        return await open_call(self._runner, make, may_block=may_block)

    async def run(self, call: Call) -> None:
        """Run another call within this one."""
        await drive_within(call, self._runner)

    def other(self) -> SyncChannel:
        """The channel of a plain function that is called within."""
        raise NotImplementedError

    async def send(self, message: bytes) -> None:
        """Drop a message."""

    async def keep_alive(self) -> None:
        """Do nothing: there is no stream."""

    async def close_stream(self, retry: float) -> None:
        """Do nothing: there is no stream."""

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        """Refuse: nobody can be asked."""
        raise ClientError("The client takes no event stream, so it cannot be asked")


class NullChannel(ThreadChannel):
    """The channel of a plain function whose client accepts no event stream.

    Args:
        runner: How the host runs handlers.
        closed: Returns whether nobody waits for the call any more.
        spawn: Starts coroutines.
    """

    def __init__(
        self, runner: Runner, closed: Callable[[], bool], spawn: Spawn = background.spawn
    ) -> None:
        super().__init__(runner, spawn)
        self._closed = closed

    @property
    def closed(self) -> bool:
        return self._closed()

    def other(self) -> AsyncChannel:
        return AsyncNullChannel(self._runner, self._closed)


class AsyncNullChannel(LoopChannel):
    """The channel of a coroutine function whose client accepts no event stream.

    Args:
        runner: How the host runs handlers.
        closed: Returns whether nobody waits for the call any more.
    """

    def __init__(self, runner: Runner, closed: Callable[[], bool]) -> None:
        super().__init__(runner)
        self._closed = closed

    def other(self) -> SyncChannel:
        return NullChannel(self._runner, self._closed, spawner(asyncio.get_running_loop()))


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
