"""The request that handlers of a server get, where there is no framework around it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

from mcp_mount import Context, MCPServer
from mcp_mount.testing import AsyncClient, Client
from mcp_mount_starlette import mount


async def tenant(request: Request, x_tenant: Annotated[str, Header()] = "nobody") -> str:
    return f"{x_tenant} at {request.url.path}"


def build(**options: Any) -> MCPServer:
    server = MCPServer("shop", open=True, **options)

    @server.tool
    def whose(found: Annotated[str, Depends(tenant)]) -> str:
        return found

    @server.tool
    def title(request: Request) -> str:
        return str(request.app.title)

    @server.tool
    async def context_title(ctx: Context) -> str:
        return str(ctx.request.app.title)

    @server.tool
    def dependency_title(found: Annotated[str, Depends(_title)]) -> str:
        return found

    @server.tool(permission=_notes)
    def noted(request: Request) -> str:
        return str(request.state.note)

    return server


def _title(request: Request) -> str:
    return str(request.app.title)


def _notes(request: Request) -> bool:
    request.state.note = "by the rule"
    return True


class Passing:
    """Middleware that changes nothing: but then FastAPI's own application is in the way."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


TITLES = ["title", "context_title", "dependency_title"]


@pytest.mark.parametrize("options", [{}, {"middleware": [Middleware(Passing)]}])
@pytest.mark.parametrize("tool", TITLES)
def test_the_application_of_a_request_is_the_server_where_it_stands_alone(
    tool: str, options: dict[str, Any]
) -> None:
    with Client(build(**options)) as client:
        assert client.call_tool(tool).text == "shop"


@pytest.mark.parametrize("options", [{}, {"middleware": [Middleware(Passing)]}])
@pytest.mark.parametrize("tool", TITLES)
def test_the_application_of_a_request_is_the_one_around_the_server(
    tool: str, options: dict[str, Any]
) -> None:
    api = FastAPI(title="outer")
    mount(api, "/mcp", build(**options))
    with Client(api) as client:
        assert client.call_tool(tool).text == "outer"


@pytest.mark.parametrize("tool", TITLES)
def test_the_application_of_a_request_is_the_server_under_asgi_too(tool: str) -> None:
    async def run() -> str:
        async with AsyncClient(build()) as client:
            return (await client.call_tool(tool)).text

    assert asyncio.run(run()) == "shop"


def test_dependencies_work_in_a_server_alone() -> None:
    with Client(build(), headers={"X-Tenant": "ada"}) as client:
        assert client.call_tool("whose").text == "ada at /mcp"


@pytest.mark.parametrize("mounted", [False, True])
def test_the_state_of_a_request_is_that_of_its_rules(mounted: bool) -> None:
    app: Any = build()
    if mounted:
        server, app = app, Starlette()
        mount(app, "/mcp", server)
    with Client(app) as client:
        assert client.call_tool("noted").text == "by the rule"


def test_overrides_of_the_server_and_of_the_application_hold() -> None:
    api, server = FastAPI(), build()
    mount(api, "/mcp", server)
    server.dependency_overrides[tenant] = lambda: "of the server"
    with Client(api) as client:
        assert client.call_tool("whose").text == "of the server"
        server.dependency_overrides.clear()
        api.dependency_overrides[tenant] = lambda: "of the application"
        assert client.call_tool("whose").text == "of the application"
