"""The lifespan of a server: it runs once, wherever that is, and handlers have what it yields."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient

from mcp_mount import (
    Context,
    DefinitionError,
    MCPServer,
    SyncContext,
    ToolsRouter,
    mount_asgi,
    mount_wsgi,
)
from mcp_mount.testing import AsyncClient, Client, HTTPError, RPCError
from mcp_mount_flask import MCPMount
from mcp_mount_starlette import MCPMount as StarletteMount
from mcp_mount_starlette import mount
from tests.requests import message, meta, stateless


@dataclass
class Resources:
    name: str


class Log(list[str]):
    """What has happened."""

    def lifespan(self, value: Any = None, name: str = "server") -> Callable[[Any], Any]:
        @asynccontextmanager
        async def run(app: Any) -> AsyncIterator[Any]:
            self.append(f"{name} begins")
            task = asyncio.current_task()
            yield value
            assert asyncio.current_task() is task
            self.append(f"{name} ends")

        return run


def build(log: Log, value: Any = None, **options: Any) -> MCPServer:
    server = MCPServer("shop", lifespan=log.lifespan(value), open=True, **options)

    @server.tool
    def plain(ctx: SyncContext[Resources]) -> str:
        return ctx.lifespan.name

    @server.tool
    async def coroutine(ctx: Context[Resources]) -> str:
        return ctx.lifespan.name

    @server.tool
    def state(request: Request) -> str:
        return str(request.state.name)

    return server


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("knows no lifespan")


def wsgi_nothing(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [])
    return [b""]


def _alone(server: MCPServer) -> Any:
    return server


def _starlette(server: MCPServer) -> Any:
    app = Starlette()
    mount(app, "/mcp", server)
    return app


def _fastapi(server: MCPServer) -> Any:
    app = FastAPI()
    mount(app, "/mcp", server)
    return app


def _in_routes(server: MCPServer) -> Any:
    return Starlette(routes=[StarletteMount("/mcp", server)])


def _bare(server: MCPServer) -> Any:
    app = FastAPI()
    app.mount("/mcp", server)
    return app


def _beside(server: MCPServer) -> Any:
    return mount_asgi(nothing, "/mcp", server)


def _beside_wsgi(server: MCPServer) -> Any:
    return mount_wsgi(wsgi_nothing, "/mcp", server)


def _flask(server: MCPServer) -> Any:
    app = Flask("shop")
    MCPMount(app, "/mcp", server)
    return app


def at(host: Any) -> str | None:
    """Where the server is: Starlette's own Mount redirects from its very path."""
    return {_alone: None, _bare: "/mcp/"}.get(host, "/mcp")


ASGI = [_alone, _starlette, _fastapi, _in_routes, _bare, _beside]
HOSTS = [*ASGI, _beside_wsgi]


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize("host", HOSTS)
def test_handlers_have_what_the_lifespan_yields(host: Any, revision: str) -> None:
    log = Log()
    server = MCPServer("shop", lifespan=log.lifespan(Resources("warehouse")), open=True)

    @server.tool
    def plain(ctx: SyncContext[Resources]) -> str:
        return ctx.lifespan.name

    @server.tool
    async def coroutine(ctx: Context[Resources]) -> str:
        return ctx.lifespan.name

    with Client(host(server), path=at(host), revision=revision) as client:
        assert client.call_tool("plain").text == "warehouse"
        assert client.call_tool("coroutine").text == "warehouse"
    assert log == ["server begins", "server ends"]


def test_a_flask_application_starts_it_for_the_first_request() -> None:
    log = Log()
    server = MCPServer("shop", lifespan=log.lifespan(Resources("warehouse")), open=True)

    @server.tool
    def plain(ctx: SyncContext[Resources]) -> str:
        return ctx.lifespan.name

    app = _flask(server)
    with Client(app) as client:
        assert log == []
        assert client.call_tool("plain").text == "warehouse"
        assert client.call_tool("plain").text == "warehouse"
    assert log == ["server begins", "server ends"]


@pytest.mark.parametrize("host", ASGI)
def test_a_mapping_is_the_state_of_each_request(host: Any) -> None:
    with Client(host(build(Log(), {"name": "warehouse"})), path=at(host)) as client:
        assert client.call_tool("state").text == "warehouse"


@pytest.mark.parametrize("host", ASGI)
def test_it_runs_on_the_loop_of_a_coroutine_test(host: Any) -> None:
    log = Log()

    async def run() -> None:
        async with AsyncClient(host(build(log, Resources("warehouse"))), path=at(host)) as client:
            assert (await client.call_tool("coroutine")).text == "warehouse"

    asyncio.run(run())
    assert log == ["server begins", "server ends"]


def test_it_ends_with_the_event_loop_where_a_request_has_started_it() -> None:
    log = Log()

    async def run() -> None:
        client = AsyncClient(_bare(build(log, Resources("warehouse"))), path="/mcp/")
        assert (await client.call_tool("coroutine")).text == "warehouse"

    asyncio.run(run())
    assert log == ["server begins", "server ends"]


@pytest.mark.parametrize("host", ASGI)
def test_an_object_that_is_no_mapping_stops_no_web_server(host: Any) -> None:
    """TestClient sends the lifespan events as uvicorn does."""
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "plain",
    }
    body = message("tools/call", {"name": "plain", "arguments": {}, "_meta": meta()})
    log = Log()
    with TestClient(host(build(log, Resources("warehouse"))), base_url="http://localhost") as one:
        answer = one.post("/mcp", headers=headers, json=body)
        assert answer.json()["result"]["content"][0]["text"] == "warehouse"
    assert log == ["server begins", "server ends"]


def test_it_runs_once_where_the_application_starts_what_is_mounted_in_it() -> None:
    """Airflow enters the lifespan of each application that is mounted in its own."""
    log = Log()

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for route in app.routes:
                if isinstance(route, Mount) and isinstance(route.app, FastAPI):
                    inner = route.app.router.lifespan_context(route.app)
                    await stack.enter_async_context(inner)
            yield

    app = FastAPI(lifespan=own)
    mount(app, "/mcp", build(log, Resources("warehouse")))
    with Client(app) as client:
        assert client.call_tool("plain").text == "warehouse"
    assert log == ["server begins", "server ends"]


def test_it_runs_once_for_a_server_that_is_mounted_twice() -> None:
    log = Log()
    app, server = FastAPI(), build(log, Resources("warehouse"))
    mount(app, "/one", server)
    mount(app, "/two", server)
    with Client(app, path="/two") as client:
        assert client.call_tool("plain").text == "warehouse"
    assert log == ["server begins", "server ends"]


def test_it_can_run_again() -> None:
    log = Log()
    app = _starlette(build(log, Resources("warehouse")))
    for _ in range(2):
        with Client(app) as client:
            assert client.call_tool("plain").text == "warehouse"
    assert log == ["server begins", "server ends"] * 2


@pytest.mark.parametrize("host", [_alone, _starlette, _bare])
def test_the_lifespans_of_included_routers_run_too(host: Any) -> None:
    log = Log()
    server = build(log, Resources("warehouse"))
    server.include_router(APIRouter(lifespan=log.lifespan({"name": "router"}, "router")))
    with Client(host(server), path=at(host)) as client:
        assert client.call_tool("plain").text == "warehouse"
        assert client.call_tool("state").text == "router"
    assert log == ["server begins", "router begins", "router ends", "server ends"]


def test_a_router_that_is_included_after_the_mount_counts() -> None:
    log, app, server = Log(), FastAPI(), MCPServer("shop")
    mount(app, "/mcp", server)
    server.include_router(ToolsRouter(lifespan=log.lifespan(name="router")))
    with Client(app) as client:
        client.list_tools()
    assert log == ["router begins", "router ends"]


def test_handlers_of_events_run_too() -> None:
    log = Log()
    server = MCPServer("shop", on_startup=[lambda: log.append("on startup")])
    with Client(_bare(server), path="/mcp/") as client:
        client.list_tools()
    assert log == ["on startup"]


@pytest.mark.parametrize("host", [_alone, _starlette, _beside, _beside_wsgi, _bare])
def test_a_server_without_a_lifespan_says_so(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = MCPServer("shop", open=True)

    @server.tool
    def plain(ctx: SyncContext[Resources]) -> str:
        return ctx.lifespan.name

    with Client(host(server), path=at(host)) as client:
        assert client.call_tool("plain").is_error
    assert "MCPServer(lifespan=...)" in caplog.text


@pytest.fixture
def failing() -> MCPServer:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    return MCPServer("shop", lifespan=lifespan, open=True)


@pytest.mark.parametrize("host", [_alone, _starlette, _beside])
def test_a_test_whose_application_cannot_start_fails_with_the_reason(
    host: Any, failing: MCPServer
) -> None:
    with pytest.raises(OSError, match="no database"), Client(host(failing)):
        pass


@pytest.mark.parametrize("host", [_bare, _beside_wsgi, _flask])
def test_a_request_that_cannot_start_the_server_gets_503(
    host: Any, failing: MCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Client(host(failing), path=at(host)) as client,
        pytest.raises((HTTPError, RPCError)) as caught,
    ):
        client.list_tools()
    assert "could not start" in str(caught.value)
    assert "no database" in caplog.text


def test_requests_beside_the_one_that_starts_it_wait_until_it_has_begun() -> None:
    async def run() -> list[str]:
        may_begin = asyncio.Event()

        @asynccontextmanager
        async def slow(app: Any) -> AsyncIterator[Any]:
            await may_begin.wait()
            yield Resources("ready")

        server = MCPServer("shop", lifespan=slow, open=True)

        @server.tool
        async def ask(ctx: Context[Resources]) -> str:
            return ctx.lifespan.name

        headers, body = stateless("tools/call", {"name": "ask", "arguments": {}})
        transport = httpx2.ASGITransport(server)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = [
                asyncio.create_task(client.post("/mcp", headers=headers, content=body))
                for _ in range(3)
            ]
            for _ in range(50):
                await asyncio.sleep(0)
            may_begin.set()
            answers = await asyncio.gather(*asked)
        return [one.json()["result"]["content"][0]["text"] for one in answers]

    assert asyncio.run(run()) == ["ready"] * 3


@pytest.mark.parametrize("error", [OSError(), SystemExit(3), asyncio.CancelledError()])
def test_a_late_lifespan_that_cannot_begin_is_tried_again(error: BaseException) -> None:
    errors = [error]

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[Any]:
        if errors:
            raise errors.pop()
        yield {"name": "shop"}

    server = MCPServer("shop", lifespan=run, open=True)

    @server.tool
    def plain(ctx: SyncContext[Any]) -> str:
        return str(ctx.lifespan["name"])

    app = Flask("app")
    with Client(mount_wsgi(app.wsgi_app, "/mcp", server)) as client:
        with pytest.raises((HTTPError, RPCError), match="could not start"):
            client.call_tool("plain")
        assert client.call_tool("plain").text == "shop"


def test_the_lifespan_of_a_partial_application_runs() -> None:
    server, log = MCPServer("shop", open=True), Log()

    @server.tool
    def plain() -> str:
        return "shop"

    class Configured:
        async def __call__(self, started: Log, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                started.append("asked")
            await server(scope, receive, send)

    with Client(partial(Configured(), log), path="/mcp") as client:
        assert client.call_tool("plain").text == "shop"
    assert log == ["asked"]


async def without_yield(server: Any) -> None: ...


def without_async(server: Any) -> Iterator[None]:
    yield


@asynccontextmanager
async def without_server() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("lifespan", "words"),
    [
        (5, "not 5"),
        (without_yield, "it has no 'yield'"),
        (without_async, "it has no 'async'"),
        (without_server, "it takes no server"),
    ],
)
@pytest.mark.parametrize("make", [MCPServer, ToolsRouter])
def test_what_is_no_lifespan_is_refused_where_it_is_given(
    make: Any, lifespan: Any, words: str
) -> None:
    with pytest.raises(DefinitionError, match=f"lifespan is a function of the server.*{words}"):
        make(lifespan=lifespan)
