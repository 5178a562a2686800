"""Language and time zone of a request, in whatever runs for it."""

from __future__ import annotations

from typing import Any

import pytest

# Not in a transaction of the test: under ASGI requests have connections of their own.
pytestmark = pytest.mark.usefixtures("project", "own_servers")


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("face", ["mcp", "http"])
def test_whatever_a_call_runs_has_its_language_and_time_zone(interface: str, face: str) -> None:
    import asyncio

    import httpx2
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount import Context, SyncContext, ToolsRouter
    from mcp_mount.testing import AsyncClient, Client
    from mcp_mount_django import MCPServer
    from tests.mcp_mount_django.ledger.mcp import manners

    tools = ToolsRouter()

    @tools.tool
    def plain() -> str:
        return manners()

    @tools.tool
    async def coroutine() -> str:
        return manners()

    @tools.tool
    def calls(ctx: SyncContext, tool: str) -> str:
        return str(ctx.call_tool(tool))

    @tools.tool
    async def calls_async(ctx: Context, tool: str) -> str:
        return str(await ctx.call_tool(tool))

    server = MCPServer("manners", open=True)
    server.include_router(tools)

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    asked: list[tuple[str, dict[str, Any]]] = [("plain", {}), ("coroutine", {})]
    asked += [
        (name, {"tool": tool})
        for name in ("calls", "calls_async")
        for tool in ("plain", "coroutine")
    ]
    headers = {"host": "localhost", "accept-language": "de", "x-time-zone": "Asia/Tokyo"}

    async def over_asgi() -> list[str]:
        app: Any = get_asgi_application()
        if face == "mcp":
            async with AsyncClient(app, headers=headers) as client:
                return [(await client.call_tool(*one)).text for one in asked]
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = [
                await client.post(f"/mcp/tools/{name}", json=given, headers=headers)
                for name, given in asked
            ]
            return [one.json() for one in answers]

    def over_wsgi() -> list[str]:
        app = get_wsgi_application()
        if face == "mcp":
            with Client(app, headers=headers) as client:
                return [client.call_tool(*one).text for one in asked]
        transport = httpx2.WSGITransport(app)
        with httpx2.Client(transport=transport, base_url="http://localhost") as client:
            return [
                client.post(f"/mcp/tools/{name}", json=given, headers=headers).json()
                for name, given in asked
            ]

    with override_settings(ROOT_URLCONF=Urls):
        found = over_wsgi() if interface == "wsgi" else asyncio.run(over_asgi())
    assert found == ["de Montag Asia/Tokyo"] * len(asked)
