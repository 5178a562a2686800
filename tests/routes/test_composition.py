"""A server put together from parts, as the README shows it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI
from mcp import Client

from mcp_mount import CompletionsRouter, DefinitionError, MCPRouter, MCPServer, ToolsRouter
from sample_projects.processes import free_port, running
from tests.requests import ask, call, stateless

COMPOSITION = """
from mcp_mount.base import MCPServer
from mcp_mount.routes.completions import CompletionsRouter
from mcp_mount.routes.tools import ToolsRouter
from mcp_mount.routes.images import ImageRouter
from starlette.middleware.base import BaseHTTPMiddleware
from fastapi import APIRouter

class LogMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        print(f"Incoming: {request.url}")
        return await call_next(request)

custom = APIRouter()

@custom.get("/health")
async def check():
    return {"status": "alive"}

app = MCPServer()
app.include_router(CompletionsRouter())
app.include_router(ToolsRouter())
app.include_router(ImageRouter())
app.add_middleware(LogMiddleware)
app.include_router(custom)
"""


def test_the_composition_of_the_design_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "composition.py").write_text(COMPOSITION)
    log = tmp_path / "log"
    port = free_port()
    script = f"exec {sys.executable} -u -m uvicorn composition:app --port {port} > {log} 2>&1"
    with running(["sh", "-c", script], port, cwd=tmp_path):
        url = f"http://127.0.0.1:{port}"
        assert httpx2.get(f"{url}/health").json() == {"status": "alive"}
        assert "swagger" in httpx2.get(f"{url}/docs").text
        assert "/v1/chat/completions" in httpx2.get(f"{url}/openapi.json").json()["paths"]

        async def session() -> list[str]:
            async with Client(f"{url}/mcp") as client:
                return [tool.name for tool in (await client.list_tools()).tools]

        assert anyio.run(session) == ["generate_image", "edit_image"]
        for path in ("health", "docs", "mcp"):
            assert f"Incoming: {url}/{path}\n" in log.read_text()


def get(app: Any, path: str, method: str = "GET", **options: Any) -> httpx2.Response:
    """Send a request to an application in this process."""

    async def request() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **options)

    return anyio.run(request)


def tools_router(*names: str) -> ToolsRouter:
    tools = ToolsRouter()
    for name in names:
        tools.tool(name=name)(lambda name=name: name)
    return tools


def names(server: MCPServer) -> list[str]:
    return [tool["name"] for tool in ask(server, "tools/list")["result"]["tools"]]


def test_several_routers_of_one_kind_add_up() -> None:
    server = MCPServer()
    server.include_router(tools_router("a", "b"))
    server.include_router(tools_router("c"))
    assert names(server) == ["a", "b", "c"]
    assert [tool["name"] for tool in get(server, "/tools").json()] == ["a", "b", "c"]
    assert get(server, "/tools/c", "POST", json={}).json()["content"][0]["text"] == "c"


def test_a_prefix_moves_the_http_side_and_keeps_the_names() -> None:
    server = MCPServer()
    server.include_router(tools_router("a"))
    server.include_router(tools_router("b"), prefix="/admin")
    assert names(server) == ["a", "b"]
    assert [tool["name"] for tool in get(server, "/tools").json()] == ["a"]
    assert [tool["name"] for tool in get(server, "/admin/tools").json()] == ["b"]
    assert get(server, "/tools/b", "POST", json={}).status_code == 404
    assert get(server, "/admin/tools/b", "POST", json={}).status_code == 200
    paths = get(server, "/openapi.json").json()["paths"]
    assert {"/tools/a", "/admin/tools/b"} <= set(paths)


def test_a_tool_registered_after_its_router_is_there() -> None:
    server = MCPServer()
    tools = tools_router("early")
    server.include_router(tools)
    ask(server, "tools/list")
    tools.tool(name="late")(lambda: "late")
    assert names(server) == ["early", "late"]
    assert "/tools/late" in get(server, "/openapi.json").json()["paths"]


def test_a_duplicate_among_routers_is_refused_and_changes_nothing() -> None:
    server = MCPServer()
    first, second = tools_router("a"), tools_router("b", "a")
    server.include_router(first)
    with pytest.raises(DefinitionError, match="the tool 'a' is already defined"):
        server.include_router(second)
    assert names(server) == ["a"]
    third = tools_router("c")
    server.include_router(third)
    with pytest.raises(DefinitionError):
        third.tool(name="a")(lambda: "x")
    assert names(server) == ["a", "c"]
    assert list(third.registry.tools) == ["c"]


def test_routers_nest() -> None:
    inner = tools_router("deep")
    middle = MCPRouter(prefix="/middle")
    middle.include_router(inner)
    plain = APIRouter()
    plain.include_router(tools_router("plain"))
    server = MCPServer()
    server.include_router(middle)
    server.include_router(plain)
    assert names(server) == ["deep", "plain"]
    assert get(server, "/middle/tools/deep", "POST", json={}).status_code == 200
    assert get(server, "/tools/plain", "POST", json={}).status_code == 200


def test_one_router_can_serve_two_servers() -> None:
    tools = tools_router("shared")
    first, second = MCPServer("one"), MCPServer("two")
    first.include_router(tools)
    second.include_router(tools)
    tools.tool(name="late")(lambda: "x")
    assert names(first) == names(second) == ["shared", "late"]


def test_the_first_route_wins_as_in_fastapi() -> None:
    custom = APIRouter()
    custom.post("/tools/a")(lambda: "mine")
    server = MCPServer()
    server.include_router(custom)
    server.include_router(tools_router("a", "b"))
    assert get(server, "/tools/a", "POST", json={}).json() == "mine"
    assert "content" in get(server, "/tools/b", "POST", json={}).json()


def test_a_page_of_ones_own_may_stand_at_the_root() -> None:
    server = MCPServer()
    server.get("/")(lambda: "page")
    headers, body = stateless("tools/list")
    assert get(server, "/").json() == "page"
    assert get(server, "/", "POST", headers=headers, content=body).json()["result"]["tools"] == []
    assert get(server, "/", headers={"accept": "text/event-stream"}).status_code == 405


def test_the_endpoint_can_have_another_path() -> None:
    server = MCPServer(path="/assistants/v1/")
    headers, body = stateless("tools/list")
    for path, status in (("/assistants/v1", 200), ("/assistants/v1/", 200), ("/mcp", 404)):
        assert get(server, path, "POST", headers=headers, content=body).status_code == status
    for path in ("mcp", "/", ""):
        with pytest.raises(ValueError, match="path must start"):
            MCPServer(path=path)


def test_dependencies_that_would_leave_mcp_open_are_refused() -> None:
    guard = [Depends(lambda: None)]
    tools = tools_router("a")
    guarded = APIRouter(dependencies=guard)
    guarded.include_router(tools)
    for attempt in (
        lambda: MCPServer(dependencies=guard),
        lambda: ToolsRouter(dependencies=guard),
        lambda: MCPServer().include_router(tools, dependencies=guard),
        lambda: MCPServer().include_router(guarded),
        lambda: MCPRouter().include_router(tools, dependencies=guard),
    ):
        with pytest.raises(ValueError, match="the tools would be open"):
            attempt()
    open_routes = APIRouter(dependencies=guard)
    open_routes.get("/guarded")(lambda: "ok")
    server = MCPServer()
    server.include_router(open_routes)
    assert get(server, "/guarded").json() == "ok"


def test_middleware_stands_before_every_face() -> None:
    class Deny:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await httpx_response(403, send) if scope["type"] == "http" else None

    async def httpx_response(status: int, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = MCPServer()
    server.include_router(tools_router("a"))
    server.add_middleware(Deny)
    headers, body = stateless("tools/list")
    for path in ("/mcp", "/", "/tools/a"):
        assert get(server, path, "POST", headers=headers, content=body).status_code == 403


def test_docs_are_shown_alone_and_hidden_when_mounted() -> None:
    def status(app: Any, path: str) -> int:
        return get(app, path).status_code

    assert status(MCPServer(), "/docs") == 200
    assert status(MCPServer(docs=False), "/docs") == 404
    for options, debug, expected in (
        ({}, False, 404),
        ({}, True, 200),
        ({"docs": True}, False, 200),
        ({"docs": False}, True, 404),
    ):
        app = FastAPI(debug=debug)
        app.mount("/mcp", MCPServer(**options))
        assert status(app, "/mcp/docs") == expected
        assert status(app, "/mcp/openapi.json") == expected


def test_a_bare_mount_works_without_any_lifespan_line() -> None:
    server = MCPServer()
    server.include_router(tools_router("a"))
    app = FastAPI()
    app.mount("/mcp", server)
    headers, body = stateless("tools/list")
    answer = get(app, "/mcp/", "POST", headers=headers, content=body)
    assert answer.json()["result"]["tools"][0]["name"] == "a"
    assert "/mcp" not in str(get(app, "/openapi.json").json()["paths"])


def test_the_completions_of_two_routers_add_up() -> None:
    server = MCPServer()
    for name in ("one", "two"):
        router = CompletionsRouter()
        router.prompt(name=name)(lambda: "text")
        server.include_router(router)
    prompts = ask(server, "prompts/list")["result"]["prompts"]
    assert [prompt["name"] for prompt in prompts] == ["one", "two"]


def test_a_server_registers_tools_itself() -> None:
    server = MCPServer()

    @server.tool
    def direct() -> str:
        return "direct"

    assert call(server, "direct")["content"][0]["text"] == "direct"
