"""A server for tests of several processes: its tools ask, wait, change things, and tell which
process they run in."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from pydantic import BaseModel

from mcp_mount import Context, SyncContext, TaskPolicy
from mcp_mount.backends.backplane import redis_node

# Tests of lost workers wait until their node counts as gone: otherwise 30 seconds.
vars(redis_node).update(NODE_SECONDS=8, _BEAT_SECONDS=1.0)

NEWS = "text://news"


class Sure(BaseModel):
    sure: bool


def fill(server: Any) -> None:
    """Register all that the tests use."""

    @server.resource(NEWS)
    def news() -> str:
        return "none"

    @server.tool
    def where() -> int:
        return os.getpid()

    @server.tool
    def ask(ctx: SyncContext, word: str) -> str:
        answer = ctx.elicit("Sure?", Sure)
        return f"{word} {bool(answer.data and answer.data.sure)}"

    @server.tool
    async def ask_async(ctx: Context, word: str) -> str:
        answer = await ctx.elicit("Sure?", Sure)
        return f"{word} {bool(answer.data and answer.data.sure)}"

    @server.tool
    async def sample(ctx: Context, word: str) -> str:
        answer = await ctx.sample(word, max_tokens=10)
        return f"{word} {answer['content']['text']}"

    @server.tool
    def roots(ctx: SyncContext, word: str) -> str:
        return f"{word} {ctx.list_roots()[0]['uri']}"

    @server.tool
    async def chatter(ctx: Context) -> str:
        await ctx.info("hello")
        return ""

    @server.tool
    async def wait(ctx: Context, seconds: float = 60) -> str:
        await ctx.report_progress(os.getpid())
        await asyncio.sleep(seconds)
        return "slept"

    @server.tool
    def change(uri: str = NEWS) -> str:
        server.notify.resource_updated(uri)
        return ""

    @server.tool
    def change_tools() -> str:
        server.notify.tools_list_changed()
        return ""

    @server.tool(task=TaskPolicy(ttl=60, poll_interval=0.05))
    def job(word: str) -> str:
        time.sleep(0.2)
        return word

    @server.tool(task=TaskPolicy(ttl=60, poll_interval=0.05))
    async def job_that_asks(ctx: Context, word: str) -> str:
        answer = await ctx.elicit("Sure?", Sure)
        return f"{word} {bool(answer.data and answer.data.sure)}"

    @server.tool(task=TaskPolicy(ttl=60, poll_interval=0.05))
    def stubborn_job(ctx: SyncContext) -> str:
        ctx.report_progress(1, message=str(os.getpid()))
        time.sleep(600)
        return ""

    @server.tool(task=TaskPolicy(ttl=60, poll_interval=0.05))
    async def endless_job(ctx: Context) -> str:
        await ctx.report_progress(1, message=str(os.getpid()))
        await asyncio.sleep(600)
        return ""
