"""The documents of a server: for those whom it lets in, with the tools that they may use."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.testclient import TestClient

from mcp_mount import CompletionsRouter, ImageRouter, MCPRouter, MCPServer, ToolsRouter
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.testing.conversation import HTTPRequest
from mcp_mount.testing.inprocess import WSGIClient

DOCUMENTS = ("/openapi.json", "/docs", "/redoc", "/tools")
ADA, BOB = "a-long-secret-of-ada", "a-long-secret-of-bob"


def build(**options: Any) -> MCPServer:
    server = MCPServer("documents", **options)
    closed = ToolsRouter(permission=lambda request: False, prefix="/closed")
    staff = ToolsRouter(scopes="admin", prefix="/staff")

    @closed.tool
    def nobody() -> str:
        """A tool for nobody."""
        return ""

    @staff.tool
    def wipe() -> str:
        """A tool for staff."""
        return ""

    for router in (tools := ToolsRouter(), closed, staff):
        server.include_router(router)

    @tools.tool
    def everybody() -> str:
        """A tool for everybody."""
        return ""

    return server


class Wages(BaseModel):
    total: int


class Public(BaseModel):
    name: str


def keys() -> APIKeys:
    return APIKeys([APIKey("ada", ADA, scopes="admin"), APIKey("bob", BOB)])


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_for_those_whom_the_server_lets_in(path: str) -> None:
    server = build(auth=keys())
    client = TestClient(server, base_url="http://localhost")
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"x-api-key": "a-wrong-key-of-nobody"}).status_code == 401
    assert client.get(path, headers={"x-api-key": BOB}).status_code == 200
    with WSGIClient(server.wsgi, path).open(HTTPRequest("GET", {}, b"")) as response:
        b"".join(response.chunks)
        assert response.status == 401


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_for_those_who_fulfil_the_rules_of_the_server(path: str) -> None:
    client = TestClient(build(permission=lambda request: False), base_url="http://localhost")
    assert client.get(path).status_code == 401


@pytest.mark.parametrize(("key", "described"), [(ADA, {"wipe", "everybody"}), (BOB, {"everybody"})])
def test_documents_describe_what_the_caller_may_use(key: str, described: set[str]) -> None:
    client = TestClient(build(auth=keys()), base_url="http://localhost")
    document = client.get("/openapi.json", headers={"x-api-key": key})
    paths = document.json()["paths"]
    assert {path.rpartition("/")[2] for path in paths if not path.endswith("/tools")} == described
    assert "A tool for nobody" not in document.text


def test_what_a_server_says_of_itself_in_the_process_is_whole() -> None:
    server = build(auth=keys())
    client = TestClient(server, base_url="http://localhost")
    client.get("/openapi.json", headers={"x-api-key": BOB})
    assert "/closed/tools/nobody" in server.openapi()["paths"]


def test_middleware_of_the_server_knows_who_reads_its_documents() -> None:
    class ByHeader(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            name = conn.headers.get("x-user")
            return name and (AuthCredentials(["admin"]), SimpleUser(name))

    server = build(permission=lambda request: request.user.is_authenticated)
    server.add_middleware(AuthenticationMiddleware, backend=ByHeader())
    client = TestClient(server, base_url="http://localhost")
    assert client.get("/openapi.json").status_code == 401
    paths = client.get("/openapi.json", headers={"x-user": "ada"}).json()["paths"]
    assert {"/staff/tools/wipe", "/tools/everybody"} < set(paths)
    assert "/closed/tools/nobody" not in paths


def test_routes_of_guarded_routers_are_in_no_document_for_others() -> None:
    server = MCPServer("tests", auth=keys(), auth_required=False)
    staff = MCPRouter(prefix="/staff", scopes="admin")

    @staff.get("/wages")
    def wages() -> Wages:
        return Wages(total=1)

    chat = CompletionsRouter(scopes="admin", prefix="/llm")
    plain = APIRouter(prefix="/plain")
    plain.include_router(ImageRouter(scopes="admin"))
    server.include_router(staff)
    server.include_router(chat)
    server.include_router(plain)
    server.include_router(ToolsRouter())

    @server.get("/public")
    def public() -> Public:
        return Public(name="x")

    client = TestClient(server, base_url="http://localhost")
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/public", "/tools"}
    assert "Public" in document["components"]["schemas"]
    assert not {"Wages", "ChatRequest", "ImageRequest"} & set(document["components"]["schemas"])
    whole = client.get("/openapi.json", headers={"x-api-key": ADA}).json()
    assert {
        "/staff/wages",
        "/llm/v1/chat/completions",
        "/llm/v1/models",
        "/plain/v1/images/generations",
        "/public",
    } < set(whole["paths"])
    assert {"Wages", "ChatRequest", "ImageRequest"} < set(whole["components"]["schemas"])


def test_descriptions_of_operations_are_for_those_who_send_requests() -> None:
    """FastAPI takes them of docstrings, whose sections explain the parameters of functions."""
    server = MCPServer("documents")
    for router in (ToolsRouter(), CompletionsRouter(), ImageRouter()):
        server.include_router(router)
    operations = [one for path in server.openapi()["paths"].values() for one in path.values()]
    wrong = [one["description"] for one in operations if "Args:" in one["description"]]
    assert operations
    assert wrong == []
