"""Tools, a resource and a chat model that stand for what applications do."""

# No `from __future__ import annotations`: the functions are local, and so are what they name.

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from mcp_mount import ChatRequest, CompletionsRouter, Context, MaxConcurrency, MCPServer

URI = "benchmark://text"
ROWS, REPORTS, PIECES = 1_000, 10, 50
SLEEP = 0.1
"""Seconds that the tools of the waiting calls sleep."""


SLOTS, SLOT_SECONDS = 8, 0.02
"""What the pool of the tools under overload does at most: 400 calls per second."""


class Pool:
    """Stands for a pool of database connections, and a query that takes 20 ms."""

    def __init__(self, slots: int) -> None:
        self._free = asyncio.Semaphore(slots)

    async def use(self) -> str:
        async with self._free:
            await asyncio.sleep(SLOT_SECONDS)
        return "hello"


class Row(BaseModel):
    number: int
    name: str
    price: float
    tags: list[str]


class Answer(BaseModel):
    sure: bool


def fill_work(server: MCPServer) -> None:
    """Add everything to a server."""
    table = [
        Row(number=number, name=f"item {number}", price=number / 4, tags=["a", "b"])
        for number in range(ROWS)
    ]

    @server.tool
    async def rows() -> list[Row]:
        """Return many rows."""
        return table

    @server.tool
    async def size(text: str) -> int:
        """Return how long a text is."""
        return len(text)

    @server.tool
    async def sleep() -> str:
        """Wait, as for a database or another service."""
        await asyncio.sleep(SLEEP)
        return "hello"

    @server.tool
    def sleep_plain() -> str:
        """Wait on a thread."""
        time.sleep(SLEEP)
        return "hello"

    @server.tool
    async def report(ctx: Context) -> str:
        """Report progress before the result."""
        for step in range(REPORTS):
            await ctx.report_progress(step, REPORTS)
        return "hello"

    @server.tool
    async def ask(ctx: Context) -> str:
        """Ask the user one question."""
        answer = await ctx.elicit("Really?", Answer)
        return "hello" if answer.data and answer.data.sure else "no"

    @server.tool
    async def touch() -> str:
        """Notify all who have subscribed to the resource."""
        server.notify.resource_updated(URI)
        return "hello"

    pool = Pool(SLOTS)

    @server.tool
    async def queued() -> str:
        """Use a connection of a small pool; who comes when none is free waits in its queue."""
        return await pool.use()

    @server.tool(max_concurrency=MaxConcurrency(SLOTS, wait=0.05))
    async def shed() -> str:
        """The same; who has waited for 50 ms is refused."""
        return await pool.use()

    @server.resource(URI)
    async def text() -> str:
        """Return a short text."""
        return "hello"

    chats = CompletionsRouter()

    @chats.chat
    async def model(request: ChatRequest) -> AsyncIterator[str]:
        """Answer in pieces, as a language model does."""
        for _ in range(PIECES):
            yield "hello "

    server.include_router(chats)


def chat_body() -> dict[str, Any]:
    """A request for a streamed answer."""
    return {"stream": True, "messages": [{"role": "user", "content": "Hello?"}]}
