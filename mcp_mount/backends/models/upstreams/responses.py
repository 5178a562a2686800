"""Responses of upstreams: their bodies, whole or as events, of limited size."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from mcp_mount.backends.models.upstreams.events import EventParser
from mcp_mount.backends.models.upstreams.failures import bad_answer, decoded


class UpstreamResponse:
    """The response of an upstream.

    Attributes:
        status: Its HTTP status.
        headers: Its headers.
    """

    def __init__(self, response: Any, max_bytes: int) -> None:
        self._response = response
        self._most = max_bytes
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events, whatever was asked for."""
        return self.headers.get("content-type", "").lower().startswith("text/event-stream")

    async def body(self, most: int | None = None) -> bytes:
        """The whole body.

        Raises:
            ModelError: If it is too large.
        """
        async with aclosing(self._chunks(most or self._most)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def json(self) -> Any:
        """The JSON value of the body.

        Raises:
            ModelError: If it is too large, or none.
        """
        return decoded(await self.body())

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The data of its events, one after the other.

        Raises:
            ModelError: If they are too large.
        """
        lines = EventParser()
        async with aclosing(self._chunks(self._most)) as chunks:
            async for chunk in chunks:
                for data in lines.feed(chunk):
                    yield data

    async def _chunks(self, most: int) -> AsyncGenerator[bytes, None]:
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            # A small answer can be a large one when it is unpacked.
            raise bad_answer("comes in an encoding that was not asked for")
        size = 0
        async with aclosing(self._response.aiter_raw()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise bad_answer(f"is larger than {most} bytes")
                yield chunk
