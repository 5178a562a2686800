"""Applications whose handlers raise what is meant to end a process or a thread."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from greenlet import GreenletExit

from mcp_mount import Context, MCPServer, SyncContext

EXITS: dict[str, type[BaseException]] = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "GreenletExit": GreenletExit,
}


def leave(kind: str) -> NoReturn:
    raise EXITS[kind]("out of here")


async def leave_async(kind: str) -> None:
    leave(kind)


def build() -> MCPServer:
    server = MCPServer("exits", secret_key="for-tests-only")

    @server.tool
    def plain(kind: str) -> str:
        leave(kind)

    @server.tool
    def plain_speaking(kind: str, ctx: SyncContext) -> str:
        ctx.report_progress(1, 2)
        leave(kind)

    @server.tool
    async def coroutine(kind: str) -> str:
        leave(kind)

    @server.tool
    async def coroutine_speaking(kind: str, ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        leave(kind)

    @server.tool
    async def inner_task(kind: str) -> str:
        await asyncio.gather(leave_async(kind), asyncio.sleep(30))
        return "never"

    @server.tool
    def nested(kind: str, ctx: SyncContext) -> str:
        return str(ctx.call_tool("coroutine", {"kind": kind}))

    def around(call: Any, call_next: Any) -> Any:
        leave(call.arguments["kind"])

    @server.tool(call_middleware=around)
    def middleware(kind: str) -> str:
        return "never"

    def checked(kind: str) -> None:
        leave(kind)

    @server.tool(check=checked)
    def check(kind: str) -> str:
        return "never"

    server.tool(name="fine")(lambda: "fine")
    server.tool(name="fine_async")(fine_async)
    return server


async def fine_async() -> str:
    await asyncio.sleep(0)
    return "fine"


def asgi() -> Any:
    return build()


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("exits", static_folder=None)
    MCPMount(app, "/mcp", build())
    return app
