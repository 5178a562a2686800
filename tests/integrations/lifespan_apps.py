"""A server with a lifespan in each way to serve it; LOG names the file that tells what happened."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from flask import Flask
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from mcp_mount import MCPServer, SyncContext
from mcp_mount_fastapi import mount
from mcp_mount_flask import MCPMount


@dataclass
class Resources:
    name: str


def _note(line: str) -> None:
    with Path(os.environ["LOG"]).open("a") as log:
        log.write(f"{line}\n")


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[Resources]:
    _note("begins")
    yield Resources("warehouse")
    _note("ends")


def _server() -> MCPServer:
    server = MCPServer("shop", lifespan=_lifespan, open=True, secret_key="for-tests-only")

    @server.tool
    def name(ctx: SyncContext[Resources]) -> str:
        """Tell what the lifespan has yielded."""
        return ctx.lifespan.name

    return server


@asynccontextmanager
async def _starting_all(app: FastAPI) -> AsyncIterator[None]:
    """As Airflow does: it starts the lifespans of what is mounted in it."""
    async with AsyncExitStack() as stack:
        for route in app.routes:
            if isinstance(route, Mount) and isinstance(route.app, FastAPI):
                await stack.enter_async_context(route.app.router.lifespan_context(route.app))
        yield


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


def _fastapi(**options: Any) -> FastAPI:
    api = FastAPI(**options)
    api.router.routes.append(Route("/{rest:path}", _page, methods=["GET", "POST"]))
    mount(api, "/mcp", _server())
    return api


def flask() -> Flask:
    app = Flask("shop")
    MCPMount(app, "/mcp", _server())
    return app


def alone() -> MCPServer:
    return _server()


def wsgi() -> Any:
    return _server().wsgi


def mounted() -> FastAPI:
    return _fastapi()


def started_twice() -> FastAPI:
    return _fastapi(lifespan=_starting_all)
