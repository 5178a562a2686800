"""The server of the stdio tests by hand: in a module of its own, for processes that start fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header
from starlette.requests import Request

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


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
    app.state.place = "warehouse"
    yield {"place": "warehouse"}


def whose(request: Request, x_tenant: Annotated[str, Header()] = "nobody") -> str:
    assert request.app.state.place == "warehouse"
    return f"{x_tenant} in the {request.state.place}"


def _fill(server: MCPServer) -> MCPServer:
    @server.tool(name="whose")
    def plain(found: Annotated[str, Depends(whose)]) -> str:
        return found

    @server.tool
    async def async_whose(request: Request) -> str:
        return whose(request)

    @server.resource("shop://name")
    def name(found: Annotated[str, Depends(whose)]) -> str:
        return found

    return server


def alone() -> MCPServer:
    return _fill(MCPServer("stdio", lifespan=lifespan))


def mounted() -> FastAPI:
    """In an application with a lifespan, and with an endpoint that is a tool."""
    from mcp_mount_fastapi import expose, mount

    api, server = FastAPI(lifespan=lifespan), _fill(MCPServer("stdio"))

    @api.get("/station", tags=["exposed"])
    def station(request: Request) -> str:
        assert request.app.state.place == "warehouse"
        return "OSL"

    expose(api, server, tags=["exposed"])
    mount(api, "/mcp", server)
    return api


def exposed_alone() -> MCPServer:
    """With the endpoint of an application that the server is not mounted in."""
    from mcp_mount_fastapi import expose

    api, server = FastAPI(), MCPServer("stdio")

    @api.get("/station", tags=["exposed"])
    def station() -> str:
        return "OSL"

    expose(api, server, tags=["exposed"])
    return server


def in_flask() -> Any:
    from flask import Flask
    from flask import Request as FlaskRequest

    from mcp_mount_flask import MCPMount

    app = Flask("shop")
    mcp = MCPMount(app, "/mcp")

    @mcp.tool
    def agent(request: FlaskRequest) -> str:
        return str(request.user_agent)

    return app
