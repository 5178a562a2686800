"""A server whose counts and results are shared by processes, for real web servers.

STORE is the URL of the store. RUNS is a file in which each run of a tool leaves a line.
"""

from __future__ import annotations

import asyncio
import os
import time

from mcp_mount import Cache, MCPServer, Throttle, ToolsRouter

tools = ToolsRouter()


def _ran(tool: str) -> int:
    with open(os.environ["RUNS"], "a") as file:
        file.write(f"{tool} {os.getpid()}\n")
    return os.getpid()


@tools.tool(throttle=Throttle("10/hour", key="everyone"))
def limited() -> int:
    return _ran("limited")


@tools.tool(throttle=Throttle("10/hour", key="everyone", name="tool:limited/shared"))
async def limited_async() -> int:
    return _ran("limited_async")


@tools.tool(cache=Cache(60, per="everyone", tags="reports"))
def report(number: int = 0) -> int:
    time.sleep(0.3)
    return _ran("report")


@tools.tool(cache=Cache(60, per="everyone", tags=["reports"]))
async def report_async(number: int = 0) -> int:
    await asyncio.sleep(0.3)
    return _ran("report_async")


app = MCPServer("shared", store=os.environ["STORE"], secret_key="for-tests-only")
app.include_router(tools)


@app.tool
def drop() -> str:
    app.invalidate("reports")
    return "dropped"


@app.tool
async def drop_async() -> str:
    await app.ainvalidate("reports")
    return "dropped"


wsgi = app.wsgi
