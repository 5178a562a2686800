"""A server whose tools say nothing for a while, in an ASGI and in a WSGI application."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from mcp_mount import Context, MCPServer


def build() -> MCPServer:
    server = MCPServer("silent", secret_key="for-tests-only", keep_alive=0.1)
    go = threading.Event()
    begun: list[str] = []
    ended: list[str] = []

    async def wait(tool: str) -> str:
        begun.append(tool)
        while not go.is_set():
            await asyncio.sleep(0.01)
        ended.append(tool)
        return tool

    @server.tool
    async def quiet() -> str:
        return await wait("quiet")

    @server.tool
    async def quiet_context(ctx: Context) -> str:
        return await wait("quiet_context")

    @server.tool
    def seen() -> dict[str, list[str]]:
        return {"begun": begun, "ended": ended}

    @server.tool
    def let_go(on: bool) -> None:
        if on:
            go.set()
        else:
            go.clear()
            begun.clear()
            ended.clear()

    return server


def asgi() -> Any:
    return build()


def wsgi() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("silent")
    MCPMount(app, "/mcp", build())
    return app
