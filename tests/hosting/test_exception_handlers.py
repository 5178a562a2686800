"""Exceptions of handlers in Starlette, FastAPI and alone: their own words, and users' handlers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import pytest
from fastapi import Depends, FastAPI
from fastapi import HTTPException as FastAPIHTTPException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient

from mcp_mount import MCPServer, ToolError, ToolsRouter
from mcp_mount.hosting.exception_handlers import exception_hooks
from mcp_mount.testing import AsyncClient, Client, RPCError
from mcp_mount_starlette import mount


class OutOfStock(Exception):
    pass


class Rotten(OutOfStock):
    pass


RAISED: dict[str, Callable[[], Exception]] = {
    "starlette": lambda: HTTPException(409, "Order 7 is paid already"),
    "fastapi": lambda: FastAPIHTTPException(404, "No order 7"),
    "detail": lambda: FastAPIHTTPException(422, {"field": "number"}),
    "later": lambda: HTTPException(503, "Come again", {"Retry-After": "7"}),
    "stock": lambda: OutOfStock("tea"),
    "rotten": lambda: Rotten("tea"),
    "failure": lambda: ZeroDivisionError("secret"),
    "own": lambda: ToolError("our own words"),
}


def refuse() -> str:
    raise FastAPIHTTPException(404, "No tenant")


def build(**options: Any) -> MCPServer:
    server = MCPServer("shop", open=True, **options)
    tools = ToolsRouter()

    @tools.tool
    def fail(kind: str) -> str:
        raise RAISED[kind]()

    @tools.tool
    async def async_fail(kind: str) -> str:
        raise RAISED[kind]()

    @tools.tool
    def with_dependency(tenant: Annotated[str, Depends(refuse)]) -> str:
        return tenant

    @server.resource("orders://{number}")
    def order(number: int) -> str:
        raise FastAPIHTTPException(404, f"No order {number}")

    server.include_router(tools)
    return server


def alone(server: MCPServer, add: Callable[[Any], None]) -> Any:
    add(server)
    return server


def starlette(server: MCPServer, add: Callable[[Any], None]) -> Any:
    app = Starlette()
    mount(app, "/mcp", server)
    add(app)
    return app


def fastapi(server: MCPServer, add: Callable[[Any], None]) -> Any:
    app = FastAPI()
    add(app)
    mount(app, "/mcp", server)
    return app


def nothing(app: Any) -> None:
    pass


def out_of_stock(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"There is no {error} at {request.url.path}"}, 409)


async def async_out_of_stock(request: Request, error: Exception) -> JSONResponse:
    return out_of_stock(request, error)


HOSTS = [alone, starlette, fastapi]
TOOLS = ["fail", "async_fail"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_an_http_exception_tells_the_model_in_its_own_words(
    host: Any, tool: str, revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(host(build(), nothing), revision=revision) as client:
        for kind, words in (
            ("starlette", "Order 7 is paid already"),
            ("fastapi", "No order 7"),
            ("detail", '{"field": "number"}'),
            ("later", "Come again"),
        ):
            result = client.call_tool(tool, {"kind": kind})
            assert result.is_error
            assert result.text == words
        result = client.call_tool("with_dependency")
        assert (result.is_error, result.text) == (True, "No tenant")
    assert "failed" not in caplog.text


@pytest.mark.parametrize("host", HOSTS)
def test_a_resource_that_is_404_is_not_found(host: Any) -> None:
    with Client(host(build(), nothing)) as client, pytest.raises(RPCError) as caught:
        client.read_resource("orders://7")
    assert "No order 7" in caught.value.message
    assert caught.value.code == -32602


@pytest.mark.parametrize(
    ("kind", "status"), [("starlette", 409), ("fastapi", 404), ("detail", 422), ("later", 503)]
)
def test_plain_http_has_the_status_too(kind: str, status: int) -> None:
    client = TestClient(build(), base_url="http://localhost")
    answer = client.post("/tools/fail", json={"kind": kind})
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("7" if kind == "later" else None)
    assert client.post("/tools/with_dependency", json={}).status_code == 404


@pytest.mark.parametrize("handler", [out_of_stock, async_out_of_stock])
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_handler_of_the_application_answers_for_a_tool(
    host: Any, tool: str, handler: Any
) -> None:
    def add(app: Any) -> None:
        app.add_exception_handler(OutOfStock, handler)

    with Client(host(build(), add)) as client:
        for kind in ("stock", "rotten"):
            result = client.call_tool(tool, {"kind": kind})
            assert (result.is_error, result.text) == (True, "There is no tea at /mcp")
        assert client.call_tool(tool, {"kind": "own"}).text == "our own words"


def test_the_nearest_application_and_the_nearest_class_answer() -> None:
    app, server = Starlette(), build()
    mount(app, "/mcp", server)
    app.add_exception_handler(OutOfStock, out_of_stock)
    app.add_exception_handler(Rotten, lambda request, error: PlainTextResponse("Rotten", 410))
    app.add_exception_handler(409, lambda request, error: PlainTextResponse("By status", 409))
    with Client(app) as client:
        assert client.call_tool("fail", {"kind": "rotten"}).text == "Rotten"
        assert client.call_tool("fail", {"kind": "starlette"}).text == "By status"
        server.add_exception_handler(
            OutOfStock, lambda request, error: PlainTextResponse("The server's", 400)
        )
        assert client.call_tool("fail", {"kind": "stock"}).text == "The server's"


@pytest.mark.parametrize("kind", ["plain", "coroutine", "object"])
@pytest.mark.parametrize("key", [Exception, 500])
@pytest.mark.parametrize("host", HOSTS)
def test_a_handler_of_all_exceptions_hears_of_failures(
    host: Any, key: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    told = threading.Event()

    def tell(request: Request, error: Exception) -> JSONResponse:
        heard.append(f"{error} at {request.url.path}")
        told.set()
        return JSONResponse({"detail": "boom"}, 500)

    async def tell_async(request: Request, error: Exception) -> JSONResponse:
        await asyncio.sleep(0)
        return tell(request, error)

    class Tells:
        async def __call__(self, request: Request, error: Exception) -> JSONResponse:
            return await tell_async(request, error)

    handlers: dict[str, Any] = {"plain": tell, "coroutine": tell_async, "object": Tells()}

    def add(app: Any) -> None:
        app.add_exception_handler(key, handlers[kind])

    with Client(host(build(), add)) as client:
        result = client.call_tool("fail", {"kind": "failure"})
        assert told.wait(30)
        assert client.call_tool("fail", {"kind": "fastapi"}).text == "No order 7"
    assert heard == ["secret at /mcp"]
    assert result.text == "The tool 'fail' failed. The server has logged the reason."
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_handler_that_awaits_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    async def waits(request: Request, error: Exception) -> JSONResponse:
        await asyncio.sleep(0)
        return JSONResponse({"detail": "late"}, 409)

    def add(app: Any) -> None:
        app.add_exception_handler(OutOfStock, waits)

    async def run() -> Any:
        async with AsyncClient(fastapi(build(), add)) as client:
            return await client.call_tool("fail", {"kind": "stock"})

    assert asyncio.run(run()).text == "The tool 'fail' failed. The server has logged the reason."
    assert "waits awaits something" in caplog.text


def test_a_handler_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Request, error: Exception) -> JSONResponse:
        raise KeyError("broken")

    def add(app: Any) -> None:
        app.add_exception_handler(OutOfStock, broken)

    with Client(fastapi(build(), add)) as client:
        assert client.call_tool("fail", {"kind": "stock"}).is_error
    assert "could not translate" in caplog.text


def test_a_request_that_no_host_knows_has_the_words_of_the_handler_too() -> None:
    """As that of a host of one's own, which gives no request to handlers."""
    asked: list[Any] = []

    def words(request: Any, error: Exception) -> PlainTextResponse:
        asked.append(request)
        return PlainTextResponse("sold out", 409)

    class Application:
        exception_handlers: ClassVar[Any] = {OutOfStock: words}

    hooks = exception_hooks(Application())
    call: Any = SimpleNamespace(request=None, incoming=SimpleNamespace(request=object()))
    error = OutOfStock("tea")
    assert [str(hooks.translated(call, error)) for _ in range(2)] == ["sold out", "sold out"]
    assert asked == [None]


def test_an_exception_that_is_made_once_has_an_answer_for_each_caller() -> None:
    once = OutOfStock("tea")
    server = MCPServer("shop", open=True)

    @server.tool
    def buy() -> str:
        raise once

    @server.exception_handler(OutOfStock)
    def handle(request: Request, error: OutOfStock) -> PlainTextResponse:
        return PlainTextResponse(f"none for {request.headers['x-user']}", 409)

    def told(name: str) -> str:
        with Client(server, headers={"x-user": name}) as client:
            return client.call_tool("buy").text

    assert [told("ada"), told("bob")] == ["none for ada", "none for bob"]
