"""FastAPI's markers of parameters in handlers: Header and Cookie are solved, all others refused."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import (
    Body,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    UploadFile,
)
from starlette.datastructures import UploadFile as StarletteUploadFile
from starlette.testclient import TestClient

import mcp_mount
from mcp_mount import DefinitionError, MCPServer, ToolsRouter
from mcp_mount.testing import Client
from mcp_mount.transports.stdio import StdioTransport
from mcp_mount_fastapi import mount
from tests.requests import message, meta

REVISIONS = ["2026-07-28", "2025-11-25"]


def build() -> MCPServer:
    server, tools = MCPServer("tests", secret_key="k"), ToolsRouter()

    @tools.tool
    async def whoami(
        a: int,
        x_name: Annotated[str, Header()] = "nobody",
        session: Annotated[int | None, Cookie(alias="sid")] = None,
        language: str = Header("en", alias="X-Language"),
    ) -> str:
        return f"{a} {x_name} {session} {language}"

    @tools.tool
    def needs(x_level: Annotated[int, Header(gt=3)]) -> int:
        return x_level

    @tools.resource("res://{about}")
    async def read(about: str, x_name: Annotated[str, Header()] = "nobody") -> str:
        return f"{about} {x_name}"

    @tools.prompt
    async def ask(about: str, x_name: Annotated[str, Header()] = "nobody") -> str:
        return f"{about} {x_name}"

    server.include_router(tools)
    return server


@pytest.fixture
def app() -> FastAPI:
    api = FastAPI()
    mount(api, "/mcp", build())
    return api


@pytest.mark.parametrize("revision", REVISIONS)
def test_headers_and_cookies_are_taken_from_the_request(app: FastAPI, revision: str) -> None:
    headers = {"x-name": "Ada", "cookie": "sid=5", "x-language": "de", "x-level": "7"}
    with Client(app, headers=headers, revision=revision) as client:
        assert client.call_tool("whoami", {"a": 1}).text == "1 Ada 5 de"
        assert client.call_tool("needs").text == "7"
        assert client.read_resource("res://x")[0]["text"] == "x Ada"
        assert client.get_prompt("ask", {"about": "x"})[0]["content"]["text"] == "x Ada"


@pytest.mark.parametrize("revision", REVISIONS)
def test_without_them_there_are_defaults_or_a_clear_failure(app: FastAPI, revision: str) -> None:
    with Client(app, revision=revision) as client:
        assert client.call_tool("whoami", {"a": 1}).text == "1 nobody None en"
        failed = client.call_tool("needs")
        assert failed.is_error
        assert failed.text == "The request lacks what this needs: header.x-level: Field required"
    with Client(app, headers={"x-level": "2"}, revision=revision) as client:
        assert "header.x-level: Input should be greater than 3" in client.call_tool("needs").text


def test_the_model_neither_sees_them_nor_can_fill_them_in(app: FastAPI) -> None:
    with Client(app) as client:
        tools = {tool["name"]: tool["inputSchema"] for tool in client.list_tools()}
        assert tools["whoami"]["properties"] == {"a": {"type": "integer"}}
        assert tools["needs"]["properties"] == {}
        [prompt] = client.list_prompts()
        assert [one["name"] for one in prompt["arguments"]] == ["about"]
        refused = client.call_tool("whoami", {"a": 1, "x_name": "root"})
        assert "x_name: unknown argument; the arguments are: a" in refused.text


def test_over_plain_http_they_are_the_same(app: FastAPI) -> None:
    client = TestClient(app, base_url="http://localhost")
    headers = {"x-name": "Ada"}
    response = client.post("/mcp/tools/whoami", json={"a": 1}, headers=headers)
    assert response.json() == "1 Ada None en"
    response = client.post("/mcp/tools/needs", json={})
    assert response.status_code == 400
    assert "header.x-level: Field required" in response.json()["detail"]


def test_over_stdio_there_are_defaults_or_a_clear_failure() -> None:
    server = build()
    calls = {"whoami": {"a": 1}, "needs": {}}
    lines = [
        json.dumps(
            message("tools/call", {"name": name, "arguments": arguments, "_meta": meta()}, name)
        )
        + "\n"
        for name, arguments in calls.items()
    ]
    sink = _Kept()
    asyncio.run(_serve(server, _Gate("".join(lines).encode()), sink, len(calls)))
    texts = {one["id"]: one["result"]["content"][0]["text"] for one in sink.messages}
    assert texts == {
        "whoami": "1 nobody None en",
        "needs": "The request lacks what this needs: header.x-level: Field required",
    }


class _Kept(io.BytesIO):
    """Keeps the messages that are written."""

    @property
    def messages(self) -> list[Any]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


async def _serve(server: MCPServer, source: _Gate, sink: _Kept, answers: int) -> None:
    """Serve lines until all are answered: the end of the input would cancel the calls."""
    transport = StdioTransport(server.core.protocol, server.core.runner, lambda call: None)
    serving = asyncio.create_task(transport.serve(source, sink))
    while len(sink.messages) < answers:
        await asyncio.sleep(0.01)
    source.may_end.set()
    await serving


class _Gate(io.BytesIO):
    """An input that ends only once it may."""

    def __init__(self, lines: bytes) -> None:
        super().__init__(lines)
        self.may_end = threading.Event()

    def readline(self, limit: int | None = -1) -> bytes:
        line = super().readline(limit)
        if not line:
            self.may_end.wait(60)
        return line


@pytest.mark.parametrize("kind", [Query, Form, File, Path, Body])
@pytest.mark.parametrize("form", ["annotated", "default", "nested"])
@pytest.mark.parametrize("feature", ["tool", "prompt", "resource", "page"])
def test_other_markers_are_refused_with_what_to_write(kind: Any, form: str, feature: str) -> None:
    def handler(x: Any, y: int = 1) -> str:
        return ""

    if form == "default":
        handler.__annotations__["x"] = list[int]
        handler.__defaults__ = (kind(), 1)
    else:
        mark = Annotated[list[int], "words", kind()]
        handler.__annotations__["x"] = Annotated[mark, "more"] if form == "nested" else mark
    written = "x: bytes" if kind is File else r"x: list\[int\]"
    expected = rf"'x' is marked {kind.__name__}\(\).*write '{written}'"
    with pytest.raises(DefinitionError, match=expected):
        _register(MCPServer("tests"), feature)(handler)


@pytest.mark.parametrize("kind", [UploadFile, StarletteUploadFile, list[UploadFile]])
def test_an_uploaded_file_is_refused_with_what_to_write(kind: Any) -> None:
    def handler(x: Any) -> str:
        return ""

    handler.__annotations__["x"] = kind
    with pytest.raises(DefinitionError, match=r"'x' is an UploadFile.*write 'x: bytes'"):
        MCPServer("tests").tool(handler)


@pytest.mark.parametrize("mark", [Header(), Cookie(), Query(), Depends(lambda: "")])
def test_a_marker_within_a_type_is_refused(mark: Any) -> None:
    """FastAPI does not see it there, and the model would fill it in."""

    def handler(x: Any = None) -> str:
        return ""

    for annotation in (Annotated[str, mark] | None, list[Annotated[str, mark]]):
        handler.__annotations__["x"] = annotation
        with pytest.raises(DefinitionError, match="within the type of 'x' means nothing"):
            MCPServer("tests").tool(handler)


def _register(server: MCPServer, feature: str) -> Callable[[Any], Any]:
    if feature == "resource":
        return server.resource("res://x/{x}")
    if feature == "page":
        return server.page("ui://x")
    register: Callable[[Any], Any] = getattr(server, feature)
    return register


def tenant(x_tenant: Annotated[str, Header()] = "none") -> str:
    if x_tenant == "evil":
        raise HTTPException(403, "No")
    return x_tenant


def test_where_requests_are_no_starlette_requests_they_are_refused_when_mounted() -> None:
    def by_header(x: Annotated[str, Header()] = "") -> str:
        return x

    def by_cookie(x: Annotated[str, Cookie()] = "") -> str:
        return x

    def by_dependency(x: Annotated[str, Depends(tenant)]) -> str:
        return x

    def application(environ: Any, start_response: Any) -> Any:
        raise AssertionError("never called")

    for function in (by_header, by_cookie, by_dependency):
        server = MCPServer("tests")
        server.tool(function)
        with pytest.raises(DefinitionError, match=r"needs a starlette\.requests\.Request"):
            mcp_mount.mount_wsgi(application, "/mcp", server)
        mounted = MCPServer("tests")
        mcp_mount.mount_wsgi(application, "/mcp", mounted)
        with pytest.raises(DefinitionError, match=r"Header\(\) and Cookie\(\) need FastAPI's"):
            mounted.tool(function)
        assert not mounted.registry.tools
