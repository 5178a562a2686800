"""The body of a response, collected up to a limit."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, Final

from mcp_mount.wire.errors import CallRejected

MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024
"""How much of a response is collected where no max_result_bytes= says otherwise."""

_MAX_DIGITS: Final = 18


def response_limit(server: Any, name: str) -> int | None:
    """How many bytes of a response are collected for a tool.

    Args:
        server: The server or router that has the tool.
        name: The tool's.

    Returns:
        Its `max_result_bytes`, or that of what is around it, of several servers with one router
        the largest; None where that is lifted.
    """
    limits = [
        tool.policies.nearest("max_result_bytes", MAX_RESPONSE_BYTES)
        for tool in server.registry.everywhere(name)
    ]
    return None if None in limits else max(limits)


class ResponseTooLarge(CallRejected):
    """A response that is larger than what is collected of one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The answer has more than the {limit} bytes that may be sent. Ask for less.",
            status=413,
        )


class ResponseBody:
    """Collects the body of a response, up to a limit. limit: None for none."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0

    def expect(self, length: str | None) -> None:
        """Look at a Content-Length header before the body comes.

        Args:
            length: The value of the header; None without one.

        Raises:
            ResponseTooLarge: If it announces more than the limit.
        """
        if self._limit is None or not length or not length.isdecimal():
            return
        # Python reads no number of thousands of digits.
        if len(length) > _MAX_DIGITS or int(length) > self._limit:
            raise ResponseTooLarge(self._limit)

    def add(self, chunk: bytes) -> None:
        """Add what has come.

        Args:
            chunk: The next bytes of the body.

        Raises:
            ResponseTooLarge: If that is more than the limit; what was collected is dropped.
        """
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            self._chunks.clear()
            raise ResponseTooLarge(self._limit)
        self._chunks.append(chunk)

    def collect(self, chunks: Iterable[bytes]) -> bytes:
        """Collect chunks.

        Args:
            chunks: Of the body.

        Returns:
            The whole body.

        Raises:
            ResponseTooLarge: If it exceeds the limit.
        """
        for chunk in chunks:
            self.add(chunk)
        return self.whole()

    async def collect_async(self, chunks: AsyncIterable[bytes]) -> bytes:
        """`collect`, of chunks that come asynchronously.

        Args:
            chunks: The body, as it comes.
        """
        async for chunk in chunks:
            self.add(chunk)
        return self.whole()

    def whole(self) -> bytes:
        """All that was added."""
        return b"".join(self._chunks)
