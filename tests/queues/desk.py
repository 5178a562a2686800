"""Tools for tests of tasks in worker processes: they tell where and for whom they run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mcp_mount import Context, SyncContext, TaskPolicy
from mcp_mount.backends.backplane import redis_node

# Tests of lost workers wait until their node counts as gone: otherwise 30 seconds.
vars(redis_node).update(NODE_SECONDS=8, _BEAT_SECONDS=1.0)

POLICY = TaskPolicy(ttl=120, poll_interval=0.05)


class Sure(BaseModel):
    sure: bool


def fill(server: Any) -> None:
    """Register the tools."""

    @server.tool
    def where() -> int:
        return os.getpid()

    @server.tool(task=POLICY)
    def count(ctx: SyncContext, number: int) -> dict[str, Any]:
        for done in range(number):
            ctx.report_progress(done + 1, number, f"{done + 1} of {number}")
        return {"pid": os.getpid(), "sum": sum(range(number)), "task": ctx.task_id}

    @server.tool(task=TaskPolicy(ttl=120, begin_within=1))
    def soon() -> str:
        return "soon"

    @server.tool(task=POLICY)
    async def count_async(ctx: Context, number: int) -> dict[str, Any]:
        await ctx.report_progress(number, number, "counted")
        return {"pid": os.getpid(), "sum": sum(range(number))}

    @server.tool(task=POLICY)
    def ask(ctx: SyncContext, word: str) -> str:
        answer = ctx.elicit("Sure?", Sure)
        return f"{word} {bool(answer.data and answer.data.sure)}"

    @server.tool(task=POLICY)
    async def ask_async(ctx: Context, word: str) -> str:
        answer = await ctx.elicit("Sure?", Sure)
        return f"{word} {bool(answer.data and answer.data.sure)}"

    @server.tool(task=POLICY)
    def slow(ctx: SyncContext, started: str) -> str:
        ctx.report_progress(1, 2, "begun")
        Path(started).write_text(str(os.getpid()))
        while not ctx.cancelled:
            time.sleep(0.05)
        return "noticed"

    @server.tool(task=POLICY)
    async def slow_async(ctx: Context, started: str) -> str:
        await ctx.report_progress(1, 2, "begun")
        Path(started).write_text(str(os.getpid()))
        await asyncio.sleep(600)
        return ""

    @server.tool(task=POLICY)
    def ask_and_die(ctx: SyncContext, begun: str) -> str:
        """As `die`, when the first of two questions has been answered."""
        first = ctx.elicit("Sure?", Sure, key="first")
        with Path(begun).open("a") as file:
            file.write("x")
        if Path(begun).stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        second = ctx.elicit("Really?", Sure, key="second")
        return f"{first.action} {second.action}"

    @server.tool(task=POLICY)
    def mark(file: str) -> str:
        with Path(file).open("a") as marks:
            marks.write("x")
        return "marked"

    @server.tool(task=POLICY)
    def die(begun: str) -> str:
        """End the process at the first time; tell how often it has begun."""
        with Path(begun).open("a") as file:
            file.write("x")
        if Path(begun).stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return Path(begun).read_text()
