"""Many callers at once: on threads over WSGI, on one event loop over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from mcp_mount import MCPServer
from mcp_mount.testing import AsyncClient, Client

CALLERS = 64


def crowd(
    kind: str,
    server: MCPServer,
    tool: str,
    arguments: Callable[[int], dict[str, Any]] = lambda number: {},
    headers: Callable[[int], dict[str, str]] = lambda number: {},
) -> Sequence[Any]:
    """What 64 callers are answered who call a tool at the same time."""
    if kind == "wsgi":
        barrier = Barrier(CALLERS)

        def call(number: int) -> Any:
            with Client(server, headers=headers(number)) as client:
                barrier.wait()
                return client.call_tool(tool, arguments(number))

        with ThreadPoolExecutor(CALLERS) as pool:
            return list(pool.map(call, range(CALLERS)))

    async def together() -> Sequence[Any]:
        async def call(number: int) -> Any:
            async with AsyncClient(server, headers=headers(number)) as client:
                return await client.call_tool(tool, arguments(number))

        return await asyncio.gather(*map(call, range(CALLERS)))

    return asyncio.run(together())
