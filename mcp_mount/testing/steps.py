"""The steps of a client that wait: plainly on the thread of a test, or as awaitables on its loop.

Both classes have the same methods. The operations of a client (`mcp_mount.testing.conversation`)
yield what these return, so that they are written once (see `mcp_mount.context.operations`).
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable
from typing import Any

from mcp_mount.calls.flows import awaited
from mcp_mount.testing.http import HTTPRequest, Opened
from mcp_mount.testing.inprocess import ASGIClient, BlockingASGIClient, WSGIClient
from mcp_mount.transports import background


class ThreadSteps:
    """The steps of `Client`, on the thread of the test."""

    def __init__(self, http: WSGIClient | BlockingASGIClient) -> None:
        self._http = http

    def open(self, request: HTTPRequest) -> tuple[Any, Opened]:
        """Send a request; the context manager of its response, entered, and the response."""
        manager = self._http.open(request)
        return manager, manager.__enter__()

    def read(self, opened: Opened) -> bytes | None:
        """The next chunk of a response; None at its end."""
        return next(opened.chunks, None)

    def leave(self, manager: Any, *error: Any) -> None:
        """Close a response, of which `error` is the reason as in `sys.exc_info`."""
        manager.__exit__(*error)

    def pause(self, seconds: float) -> None:
        """Wait for some seconds."""
        time.sleep(seconds)

    def value_of(self, value: Any) -> Any:
        """What a function of the user returned; the outcome, if it is a coroutine function."""
        return background.spawn(awaited(value))[0].result() if inspect.isawaitable(value) else value


class LoopSteps:
    """The steps of `AsyncClient`, on the event loop of the test: as those of `ThreadSteps`."""

    def __init__(self, http: ASGIClient) -> None:
        self._http = http

    async def open(self, request: HTTPRequest) -> tuple[Any, Opened]:
        manager = self._http.open(request)
        return manager, await manager.__aenter__()

    def read(self, opened: Opened) -> Awaitable[bytes | None]:
        return anext(opened.chunks, None)

    async def leave(self, manager: Any, *error: Any) -> None:
        await manager.__aexit__(*error)

    def pause(self, seconds: float) -> Awaitable[None]:
        return asyncio.sleep(seconds)

    async def value_of(self, value: Any) -> Any:
        return await value if inspect.isawaitable(value) else value
