"""The server of the stdio tests by hand: in a module of its own, for processes that start fast."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from mcp_mount import McpHeader, MCPServer, SyncContext

TEXT = "no server"


def build() -> MCPServer:
    server = MCPServer("stdio", max_body_bytes=10_000, allowed_hosts=["example.org"])

    @server.tool
    def say(text: Annotated[str, McpHeader("Text")]) -> str:
        print("this is no message")
        return text

    @server.tool
    async def wait() -> str:
        await asyncio.sleep(600)
        return "late"

    @server.tool
    def wait_sync(ctx: SyncContext) -> str:
        while not ctx.cancelled:
            time.sleep(0.01)
        return "late"

    @server.tool
    def add(name: str) -> str:
        server.tool(name=name)(lambda: "new")
        return "added"

    return server
