"""Rules in Starlette and FastAPI: the scopes and roles of AuthenticationMiddleware."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.testclient import TestClient

from mcp_mount import MCPServer, ToolsRouter
from mcp_mount_fastapi import mount
from tests.requests import stateless


class Backend(AuthenticationBackend):
    async def authenticate(self, connection: Any) -> Any:
        name = connection.headers.get("x-user")
        if not name:
            return None
        user = SimpleUser(name)
        user.roles = ["owner"] if name == "ada" else []  # type: ignore[attr-defined]
        return AuthCredentials(connection.headers.get("x-scopes", "").split()), user


def client() -> TestClient:
    tools = ToolsRouter()

    @tools.tool(scopes="write")
    def save() -> str:
        return "saved"

    @tools.tool(roles="owner")
    async def close() -> str:
        return "closed"

    @tools.tool(when=lambda caller: caller.id == "bob")
    def bobs() -> str:
        return "hello"

    server = MCPServer("rules")
    server.include_router(tools)
    api = FastAPI()
    api.add_middleware(AuthenticationMiddleware, backend=Backend())
    mount(api, "/mcp", server)
    return TestClient(api)


def tools_of(**headers: str) -> list[str]:
    own, body = stateless("tools/list")
    answer = client().post("/mcp", content=body, headers={**own, **headers})
    return [tool["name"] for tool in answer.json()["result"]["tools"]]


def test_each_caller_sees_what_they_may_use() -> None:
    names = {"x-user": "ada", "x-scopes": "read write"}
    assert tools_of(**names) == ["save", "close"]  # type: ignore[arg-type]
    assert tools_of(**{"x-user": "bob"}) == ["bobs"]
    assert tools_of() == []


def test_a_missing_scope_is_named() -> None:
    own, body = stateless("tools/call", {"name": "save", "arguments": {}})
    known = client().post("/mcp", content=body, headers={**own, "x-user": "bob"})
    assert known.status_code == 403
    assert known.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", '
        'scope="write", error_description="The access token must be good for: write"'
    )
    unknown = client().post("/mcp", content=body, headers=own)
    assert (unknown.status_code, unknown.headers["www-authenticate"]) == (
        401,
        'Bearer scope="write"',
    )
