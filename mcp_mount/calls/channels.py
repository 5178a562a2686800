"""The ways from a handler to its client, and to other handlers, while its call runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from mcp_mount.calls.call import Call
from mcp_mount.calls.questions import PendingInput

T = TypeVar("T")


class SyncChannel(Protocol):
    """The way from a plain function to the client, while its call runs."""

    def run(self, call: Call) -> None:
        """Run another call within this one."""

    def other(self) -> AsyncChannel:
        """The channel of a coroutine function that is called within."""

    def close_stream(self, retry: float) -> None:
        """End the connection, if the client can come back; it waits `retry` seconds."""

    @property
    def closed(self) -> bool:
        """Whether the client is known to have left."""

    def send(self, message: bytes) -> None: ...

    def ask(self, questions: Sequence[PendingInput]) -> None:
        """Put questions and wait until all are answered, or their time is over."""


class AsyncChannel(Protocol):
    """The way from a coroutine function to the client, while its call runs."""

    async def open(self, make: Callable[[], T], *, may_block: bool) -> T:
        """Make another call, or what else asks rules: where plain functions run, if they may
        block."""

    async def run(self, call: Call) -> None:
        """Run another call within this one."""

    def other(self) -> SyncChannel:
        """The channel of a plain function that is called within."""

    async def send(self, message: bytes) -> None: ...

    async def keep_alive(self) -> None:
        """Send a comment, which no client sees."""

    async def close_stream(self, retry: float) -> None:
        """End the connection, if the client can come back; it waits `retry` seconds."""

    async def ask(self, questions: Sequence[PendingInput]) -> None:
        """Put questions and wait until all are answered, or their time is over."""


Channel: TypeAlias = SyncChannel | AsyncChannel
