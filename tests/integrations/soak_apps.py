"""A server that tells its own vital signs, in an ASGI and in a WSGI application."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import Any

from pydantic import BaseModel

from mcp_mount import Context, MCPServer, SyncContext, TaskPolicy, ToolError
from mcp_mount.transports import background


class Name(BaseModel):
    name: str


def build() -> MCPServer:
    server = MCPServer("soak", secret_key="for-tests-only")
    # What is kept for clients that come back shall be gone when the vital signs are read.
    server.core.protocol.settings.resume_ttl = 0.5

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def add_async(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    @server.tool
    def fail() -> None:
        raise ToolError("No")

    @server.tool
    def talk(ctx: SyncContext) -> str:
        for step in range(10):
            ctx.report_progress(step)
            time.sleep(0.01)
        return "said"

    @server.tool
    async def talk_async(ctx: Context) -> str:
        for step in range(10):
            await ctx.report_progress(step)
            await asyncio.sleep(0.01)
        return "said"

    @server.tool
    def ask(ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name)
        return answer.data.name if answer.data else ""

    @server.tool(task=TaskPolicy(ttl=1.0))
    async def later() -> str:
        await asyncio.sleep(0.01)
        return "done"

    @server.resource("soak://{id}")
    def resource(id: str) -> str:
        return id * 100

    @server.prompt
    def prompt(about: str) -> str:
        return about

    @server.tool
    def vitals() -> dict[str, int]:
        """Threads (apart from the pool), event loop tasks, open files, memory in KiB."""
        gc.collect()
        names = [thread.name for thread in threading.enumerate()]
        pool = sum(name.startswith("mcp-mount-tool") for name in names)
        loop = main_loop[0] if main_loop else background.loop()
        with open("/proc/self/status") as status:
            # Without pages of files, such as the code of libraries, which come as they are used.
            resident = next(line for line in status if line.startswith("RssAnon"))
        return {
            "threads": len(names) - pool,
            "pool": pool,
            "tasks": len(asyncio.all_tasks(loop)),
            "files": len(os.listdir("/proc/self/fd")),
            "memory": int(resident.split()[1]),
        }

    return server


main_loop: list[asyncio.AbstractEventLoop] = []


def asgi() -> Any:
    server = build()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        main_loop[:] = [asyncio.get_running_loop()]
        await server(scope, receive, send)

    return app


def wsgi() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("soak")
    MCPMount(app, "/mcp", build())
    return app
