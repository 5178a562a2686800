"""Direct calls in front of the routes: only where they would have come to the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from mcp_mount import MCPServer
from mcp_mount_starlette import MCPMount, mount
from mcp_mount_starlette.front import _Front
from tests.requests import stateless
from tests.transports.test_direct import raw, send


def make_server() -> MCPServer:
    server = MCPServer("front", secret_key="for-tests-only", open=True)

    @server.tool
    async def echo(text: str) -> str:
        return text

    @server.tool
    async def waits(text: str) -> str:
        await asyncio.sleep(0)
        return text

    @server.tool
    async def fails(text: str) -> str:
        raise ValueError(text)

    @server.tool
    def plain(text: str) -> str:
        return text

    return server


async def ordinary(request: Any) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.url.path}")


class Passing:
    """A middleware that notes what it sees."""

    seen: list[str] = []  # noqa: RUF012

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope["type"])
        await self.app(scope, receive, send)


@pytest.fixture
def fronted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that were answered in front."""
    found: list[str] = []
    own = _Front.__call__

    async def call(self: _Front, scope: Any, receive: Any, send: Any) -> None:
        behind: list[Any] = []
        inner = self.app

        async def note(*args: Any) -> None:
            behind.append(args)
            await inner(*args)

        self.app = note
        try:
            await own(self, scope, receive, send)
        finally:
            self.app = inner
        if not behind:
            found.append(scope["path"])

    monkeypatch.setattr(_Front, "__call__", call)
    return found


def post(app: Any, tool: str, path: str = "/mcp", **scope: Any) -> tuple[int, Any]:
    """Call a tool; the status, and the body as JSON, or as text."""
    headers, body = stateless("tools/call", {"name": tool, "arguments": {"text": "a"}})

    async def at_path(own: Any, receive: Any, send: Any) -> None:
        await app({**own, "path": path, "raw_path": path.encode(), **scope}, receive, send)

    pairs = [(b"host", b"127.0.0.1"), *raw(headers)]
    status, _, content = asyncio.run(send(at_path, pairs, [body]))
    try:
        return status, json.loads(content)
    except ValueError:
        return status, content.decode()


def text_of(answer: tuple[int, Any]) -> str:
    return str(answer[1]["result"]["content"][0]["text"])


def fastapi() -> Starlette:
    api = FastAPI()
    router = APIRouter(prefix="/api")

    @router.get("/mcp")
    def same_end() -> None: ...

    api.include_router(router)
    return mount(api, "/mcp", make_server())


IN_FRONT: dict[str, Callable[[], Starlette]] = {
    "starlette": lambda: mount(Starlette(routes=[Route("/", ordinary)]), "/mcp", make_server()),
    "fastapi": fastapi,
    "its path by GET": lambda: mount(
        Starlette(routes=[Route("/mcp", ordinary)]), "/mcp", make_server()
    ),
    "two servers": lambda: mount(
        mount(Starlette(), "/other", make_server()), "/mcp", make_server()
    ),
}


@pytest.mark.parametrize("make", IN_FRONT.values(), ids=IN_FRONT)
def test_direct_calls_are_answered_in_front(make: Callable[[], Any], fronted: list[str]) -> None:
    app = make()
    # The first request of a server goes the long way.
    assert text_of(post(app, "echo")) == "a"
    assert fronted == []
    for tool in ("echo", "waits", "plain"):
        assert text_of(post(app, tool)) == "a"
    assert "failed" in text_of(post(app, "fails"))
    assert fronted == ["/mcp"] * 4
    assert post(app, "unknown")[0] == 400
    assert len(fronted) == 4


def with_middleware() -> Starlette:
    return mount(Starlette(middleware=[Middleware(Passing)]), "/mcp", make_server())


def with_server_middleware() -> Starlette:
    server = make_server()
    server.add_middleware(Passing)
    return mount(Starlette(), "/mcp", server)


def with_router_middleware() -> Starlette:
    app = Starlette()
    app.router = Router(middleware=[Middleware(Passing)])
    return mount(app, "/mcp", make_server())


def with_a_subclass() -> Starlette:
    class Own(Starlette):
        def build_middleware_stack(self) -> Any:
            return Passing(super().build_middleware_stack())

    return mount(Own(), "/mcp", make_server())


def instrumented_before() -> Starlette:
    app = Starlette()
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Passing(build())  # type: ignore[method-assign]
    return mount(app, "/mcp", make_server())


def instrumented_afterwards() -> Starlette:
    app = mount(Starlette(), "/mcp", make_server())
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Passing(build())  # type: ignore[method-assign]
    return app


WATCHED = [
    with_middleware,
    with_server_middleware,
    with_router_middleware,
    with_a_subclass,
    instrumented_before,
    instrumented_afterwards,
]


@pytest.mark.parametrize("make", WATCHED)
def test_whoever_watches_requests_sees_them_all(make: Callable[[], Any]) -> None:
    app = make()
    Passing.seen.clear()
    for _ in range(3):
        assert text_of(post(app, "echo")) == "a"
    assert Passing.seen == ["http"] * 3


class OwnRoute(Route):
    """A route that looks at more than path and method."""

    def matches(self, scope: Any) -> Any:
        return super().matches({**scope, "path": "/own"} if scope["query_string"] else scope)


@pytest.mark.parametrize(
    "route",
    [
        lambda: Host("127.0.0.1", Router([Route("/mcp", ordinary, methods=["POST"])])),
        lambda: Route("/mcp", ordinary, methods=["POST"]),
        lambda: OwnRoute("/own", ordinary, methods=["POST"]),
    ],
    ids=["host", "post", "own"],
)
def test_routes_before_the_server_are_asked(route: Callable[[], Any], fronted: list[str]) -> None:
    app = mount(Starlette(), "/mcp", make_server())
    app.router.routes.insert(0, route())
    own = [post(app, "echo", query_string=b"a") for _ in range(2)]
    assert own == [(200, "POST /mcp")] * 2
    assert fronted == []


def test_routes_that_come_later_are_asked(fronted: list[str]) -> None:
    app = mount(Starlette(), "/mcp", make_server())
    for _ in range(2):
        assert text_of(post(app, "echo")) == "a"
    assert len(fronted) == 1
    app.router.routes.insert(0, Route("/mcp", ordinary, methods=["POST"]))
    assert post(app, "echo") == (200, "POST /mcp")
    assert len(fronted) == 1


def test_other_places_go_their_usual_way(fronted: list[str]) -> None:
    app = mount(Starlette(), "/mcp", make_server())
    outer = Starlette(routes=[Mount("/outer", app)])
    for _ in range(2):
        assert text_of(post(outer, "echo", "/outer/mcp")) == "a"
        assert text_of(post(app, "echo", "/mcp/")) == "a"
        assert post(app, "echo", "/mcp/below")[0] == 404
    assert fronted == []


def test_a_path_with_parameters_goes_its_usual_way(fronted: list[str]) -> None:
    app = mount(Starlette(), "/{tenant}/mcp", make_server())
    for _ in range(2):
        assert text_of(post(app, "echo", "/a/mcp")) == "a"
    assert fronted == []


def test_a_route_in_a_list_goes_its_usual_way(fronted: list[str]) -> None:
    app = Starlette(routes=[MCPMount("/mcp", make_server())])
    for _ in range(2):
        assert text_of(post(app, "echo")) == "a"
    assert fronted == []
