"""Tools as plain HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import Image, MCPServer, SyncContext, ToolError, ToolsRouter
from tests.routes.test_composition import get


class Place(BaseModel):
    city: str


@pytest.fixture
def server() -> MCPServer:
    tools = ToolsRouter()

    @tools.tool(title="Move")
    def move(to: Place, speed: int = 1, ctx: SyncContext = None) -> list[Place]:  # type: ignore[assignment]
        """Move to a place."""
        ctx.report_progress(1)
        return [to] * speed

    @tools.tool
    async def picture() -> Image:
        return Image(b"\x89PNG\r\n\x1a\n")

    @tools.tool
    def refuse() -> int:
        raise ToolError("Not today")

    @tools.tool
    def crash() -> int:
        raise RuntimeError("secret")

    server = MCPServer(max_body_bytes=1000)
    server.include_router(tools)
    return server


def post(server: MCPServer, name: str, **options: Any) -> tuple[int, Any]:
    response = get(server, f"/tools/{name}", "POST", **options)
    return response.status_code, response.json()


def test_a_call_answers_with_the_structured_result(server: MCPServer) -> None:
    arguments = {"to": {"city": "Oslo"}, "speed": 2}
    assert post(server, "move", json=arguments) == (200, [{"city": "Oslo"}] * 2)


def test_content_blocks_come_as_content(server: MCPServer) -> None:
    status, body = post(server, "picture", json={})
    assert (status, body["content"][0]["type"]) == (200, "image")


@pytest.mark.parametrize(
    ("name", "options", "status", "detail"),
    [
        ("nothing", {"json": {}}, 404, "Unknown tool: nothing"),
        ("move", {"json": {}}, 422, "to: missing, but required"),
        ("move", {"json": {"to": {"city": "x"}, "up": 1}}, 422, "up: unknown argument"),
        ("move", {"json": [1]}, 400, "must be a JSON object"),
        ("move", {"content": "{", "headers": {"content-type": "application/json"}}, 400, "JSON"),
        ("move", {"data": {"a": "b"}}, 415, "application/json"),
        ("move", {"json": {"to": "x" * 2000}}, 413, "exceeds 1000 bytes"),
        ("refuse", {"json": {}}, 400, "Not today"),
        ("crash", {"json": {}}, 500, "The tool 'crash' failed"),
        ("refuse", {"json": {}, "headers": {"origin": "https://evil.example"}}, 403, "Origin"),
    ],
)
def test_what_goes_wrong_is_told(
    server: MCPServer, name: str, options: Any, status: int, detail: str
) -> None:
    answered, body = post(server, name, **options)
    assert answered == status
    assert detail in body["detail"]
    assert "secret" not in str(body)


def test_a_foreign_page_cannot_read_the_list(server: MCPServer) -> None:
    headers = {"origin": "https://evil.example"}
    assert get(server, "/tools", headers=headers).status_code == 403
    assert get(server, "/tools").json()[0]["inputSchema"]["required"] == ["to"]


def test_openapi_has_an_operation_for_each_tool(server: MCPServer) -> None:
    document = get(server, "/openapi.json").json()
    operation = document["paths"]["/tools/move"]["post"]
    assert (operation["summary"], operation["description"]) == ("Move", "Move to a place.")
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["to"] == {"$ref": "#/components/schemas/move-input-Place"}
    assert document["components"]["schemas"]["move-input-Place"]["required"] == ["city"]
    result = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert result["items"] == {"$ref": "#/components/schemas/move-output-Place"}
    assert "/tools/{name}" not in document["paths"]


def test_the_http_side_can_be_left_out() -> None:
    tools = ToolsRouter(http=False)
    tools.tool(name="a")(lambda: "x")
    server = MCPServer()
    server.include_router(tools)
    assert get(server, "/tools").status_code == 404
    assert post(server, "a", json={})[0] == 404
