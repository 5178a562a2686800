"""Dependencies of FastAPI as permissions: lists hide what they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Security
from flask import Flask
from starlette.requests import Request
from starlette.testclient import TestClient

from mcp_mount import Context, DefinitionError, MCPServer, ToolError, ToolsRouter, mount_wsgi
from mcp_mount.testing import AsyncClient, Client, RPCError
from mcp_mount_flask import MCPMount
from mcp_mount_starlette import mount
from tests.requests import message, meta

asked: list[str] = []


async def user(x_user: Annotated[str, Header()] = "nobody") -> AsyncIterator[str]:
    await asyncio.sleep(0)
    asked.append(x_user)
    yield x_user


def require_admin(name: Annotated[str, Depends(user)]) -> str:
    if name != "ada":
        raise HTTPException(403, "Only for admins")
    return name


async def require_known(name: Annotated[str, Depends(user)]) -> str:
    if name == "nobody":
        raise HTTPException(401, "Who are you?")
    return name


def build(**options: Any) -> MCPServer:
    server = MCPServer("shop", open=True, **options)
    staff = ToolsRouter(permission=Security(require_admin), prefix="/staff")

    @staff.tool
    def wipe() -> str:
        return "wiped"

    @staff.tool
    def close() -> str:
        return "closed"

    tools = ToolsRouter()

    @tools.tool(permission=[Depends(require_known), lambda request: True])
    async def greet(ctx: Context) -> str:
        try:
            return str(await ctx.call_tool("wipe"))
        except ToolError:
            return "may not wipe"

    @tools.tool
    def everybody() -> str:
        return ""

    server.include_router(staff)
    server.include_router(tools)
    return server


def alone(server: MCPServer) -> Any:
    return server


def fastapi(server: MCPServer) -> Any:
    api = FastAPI()
    mount(api, "/mcp", server)
    return api


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize("host", [alone, fastapi])
@pytest.mark.parametrize(
    ("name", "tools", "greeted"),
    [
        ("ada", ["wipe", "close", "greet", "everybody"], "wiped"),
        ("bob", ["greet", "everybody"], "may not wipe"),
        ("nobody", ["everybody"], None),
    ],
)
def test_lists_show_and_calls_allow_what_the_dependencies_let_pass(
    host: Any, name: str, tools: list[str], greeted: str | None, revision: str
) -> None:
    headers = {"x-user": name}
    with Client(host(build()), headers=headers, revision=revision) as client:
        assert [tool["name"] for tool in client.list_tools()] == tools
        if greeted is None:
            with pytest.raises(RPCError, match="Unknown tool"):
                client.call_tool("greet")
        else:
            assert client.call_tool("greet").text == greeted


@pytest.mark.parametrize("host", [alone, fastapi])
def test_coroutine_clients_are_answered_on_the_loop_of_the_test(host: Any) -> None:
    async def run() -> list[str]:
        async with AsyncClient(host(build()), headers={"x-user": "ada"}) as client:
            assert (await client.call_tool("greet")).text == "wiped"
            return [tool["name"] for tool in await client.list_tools()]

    assert asyncio.run(run()) == ["wipe", "close", "greet", "everybody"]


def test_each_is_asked_once_for_a_request() -> None:
    with Client(build(), headers={"x-user": "ada"}) as client:
        asked.clear()
        client.list_tools()
    assert asked == ["ada", "ada"]


def test_overrides_hold() -> None:
    api, server = FastAPI(), build()
    mount(api, "/mcp", server)
    api.dependency_overrides[require_admin] = lambda: "anybody"
    with Client(api) as client:
        assert client.call_tool("wipe").text == "wiped"


def test_plain_http_is_guarded_too() -> None:
    client = TestClient(build(), base_url="http://localhost")
    assert client.post("/staff/tools/wipe", json={}).status_code in (401, 403)
    assert client.post("/staff/tools/wipe", json={}, headers={"x-user": "ada"}).json() == "wiped"
    tools = client.get("/tools", headers={"x-user": "bob"}).json()
    assert [one["name"] for one in tools] == ["greet", "everybody"]


def test_a_whole_server_may_be_guarded() -> None:
    server = MCPServer("shop", permission=Depends(require_known))
    client = TestClient(server, base_url="http://localhost")
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
    }
    body = message("tools/list", {"_meta": meta()})
    assert client.post("/mcp", headers=headers, json=body).status_code == 401
    allowed = client.post("/mcp", headers={**headers, "x-user": "bob"}, json=body)
    assert allowed.status_code == 200


def needs_page(page: int) -> int:
    return page


def test_what_cannot_be_asked_is_refused() -> None:
    server = MCPServer("shop")
    with pytest.raises(DefinitionError, match="'page' is taken from the query"):
        server.tool(permission=Depends(needs_page))(lambda: "")
    with pytest.raises(DefinitionError, match="names no dependency"):
        server.tool(permission=Depends())(lambda: "")


def is_known(request: Request) -> bool:
    return "x-user" in request.headers


class Known:
    async def __call__(self, request: Request) -> bool:
        return is_known(request)


@pytest.mark.parametrize("dependency", [is_known, Known()])
def test_a_dependency_that_answers_yes_or_no_is_refused(dependency: Any) -> None:
    """FastAPI does not look at its value: whoever it says no to would be let in."""
    with pytest.raises(DefinitionError, match=r"returns a bool.*HTTPException\(403\).*with None"):
        MCPServer("shop").tool(permission=Depends(dependency))(lambda: "")


def test_hosts_with_other_requests_refuse_it() -> None:
    with pytest.raises(DefinitionError, match=r"permission=Depends\(...\) needs a starlette"):
        MCPMount(Flask("shop"), "/mcp", build())
    with pytest.raises(DefinitionError, match=r"permission=Depends\(...\) needs a starlette"):
        mount_wsgi(lambda environ, start: [], "/mcp", MCPServer(permission=Depends(require_known)))
    mcp = MCPMount(Flask("shop"), "/mcp")
    with pytest.raises(DefinitionError, match=r"permission=Depends\(...\) needs a starlette"):
        mcp.tool("empty", permission=Depends(require_known))(lambda: "")
