"""`Depends` in tools, resources and prompts, as FastAPI's endpoints have it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from mcp_mount import Context, DefinitionError, MCPServer, SyncContext, ToolError
from mcp_mount.testing import Client
from mcp_mount_fastapi import mount

events: list[str] = []


def tenant(x_tenant: Annotated[str, Header()]) -> str:
    events.append("tenant")
    return x_tenant


async def session(name: Annotated[str, Depends(tenant)]) -> AsyncIterator[str]:
    events.append("open")
    try:
        yield f"session of {name}"
    except ToolError:
        events.append("rollback")
        raise
    else:
        events.append("commit")
    finally:
        events.append("close")


def sync_session(name: Annotated[str, Depends(tenant)]) -> Iterator[str]:
    yield f"sync session of {name}"
    events.append("sync close")


def scopes_of(
    scopes: SecurityScopes, token: Annotated[Any, Depends(HTTPBearer(auto_error=False))]
) -> str:
    if token is None:
        raise HTTPException(401, "Log in first")
    return f"{token.credentials} {scopes.scope_str}"


Session = Annotated[str, Depends(session)]


def build() -> MCPServer:
    server = MCPServer("dependencies", secret_key="k")

    @server.tool
    async def both(
        word: str,
        session: Session,
        again: Annotated[str, Depends(tenant)],
        request: Request,
        ctx: Context,
    ) -> str:
        await ctx.report_progress(1)
        events.append("call")
        return f"{word}: {session}, {again}, {request.url.path}"

    @server.tool
    def plain(sync: Annotated[str, Depends(sync_session)], word: str = "x") -> str:
        events.append("call")
        return f"{word}: {sync}"

    @server.tool
    async def fail(session: Session) -> str:
        raise ToolError("No")

    @server.tool
    def secured(who: Annotated[str, Security(scopes_of, scopes=["read"])]) -> str:
        return who

    @server.tool
    def by_default(name: str = Depends(tenant)) -> str:
        return name

    @server.resource("test://{id}")
    def resource(id: str, name: Annotated[str, Depends(tenant)]) -> str:
        return f"{id} of {name}"

    @server.prompt
    def prompt(about: str, name: Annotated[str, Depends(tenant)]) -> str:
        return f"{about} for {name}"

    return server


@pytest.fixture
def app() -> FastAPI:
    events.clear()
    api = FastAPI()
    mount(api, "/mcp", build())
    return api


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
def client(request: pytest.FixtureRequest, app: FastAPI) -> Iterator[Client]:
    with Client(app, headers={"x-tenant": "acme"}, revision=request.param) as client:
        yield client


def test_a_coroutine_gets_its_dependencies_once_and_ends_them(client: Client) -> None:
    result = client.call_tool("both", {"word": "hi"})
    assert result.text == "hi: session of acme, acme, /mcp"
    assert result.progress == [1]
    assert events == ["tenant", "open", "call", "commit", "close"]


def test_a_plain_function_gets_them_too(client: Client) -> None:
    assert client.call_tool("plain", {"word": "y"}).text == "y: sync session of acme"
    assert events == ["tenant", "call", "sync close"]
    assert client.call_tool("by_default").text == "acme"


def test_a_dependency_sees_that_the_call_has_failed(client: Client) -> None:
    result = client.call_tool("fail")
    assert (result.is_error, result.text) == (True, "No")
    assert events == ["tenant", "open", "rollback", "close"]


def test_dependencies_are_no_arguments(client: Client) -> None:
    tools = {tool["name"]: tool["inputSchema"] for tool in client.list_tools()}
    assert list(tools["both"]["properties"]) == ["word"]
    assert tools["fail"]["properties"] == {}
    assert client.call_tool("plain", {"sync": "x"}).is_error


def test_resources_and_prompts_have_them(client: Client) -> None:
    assert client.read_resource("test://7")[0]["text"] == "7 of acme"
    assert client.get_prompt("prompt", {"about": "x"})[0]["content"]["text"] == "x for acme"


def test_security_scopes_and_refusals(app: FastAPI) -> None:
    with Client(app, headers={"authorization": "Bearer me"}) as client:
        assert client.call_tool("secured").text == "me read"
    with Client(app) as client:
        refused = client.call_tool("secured")
        assert (refused.is_error, refused.text) == (True, "Log in first")
        missing = client.call_tool("by_default")
        assert "header.x-tenant: Field required" in missing.text


def test_overrides_of_the_application_are_in_force(app: FastAPI) -> None:
    app.dependency_overrides[tenant] = lambda: "nobody"
    with Client(app) as client:
        assert client.call_tool("by_default").text == "nobody"
        assert (
            client.call_tool("both", {"word": "hi"}).text == "hi: session of nobody, nobody, /mcp"
        )


def test_over_plain_http_they_are_the_same() -> None:
    from starlette.testclient import TestClient

    from mcp_mount import ToolsRouter

    tools = ToolsRouter()

    @tools.tool
    def whose(name: Annotated[str, Depends(tenant)]) -> str:
        return name

    server = MCPServer("http")
    server.include_router(tools)
    answer = TestClient(server).post("/tools/whose", json={}, headers={"x-tenant": "acme"})
    assert answer.json() == {"content": [{"type": "text", "text": "acme"}]}


def test_a_plain_function_with_a_context_is_refused() -> None:
    def tool(ctx: SyncContext, name: Annotated[str, Depends(tenant)]) -> str:
        return name

    with pytest.raises(DefinitionError, match="is written with 'async def'"):
        MCPServer().tool(tool)
