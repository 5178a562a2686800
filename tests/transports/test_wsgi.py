"""The WSGI driver: threads, loops, streams and what is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from mcp_mount import Context, MCPServer, SyncContext, ToolsRouter
from mcp_mount.transports import background
from tests.requests import stateless

local = threading.local()
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def make(*, middleware: bool = False) -> MCPServer:
    server = MCPServer("tests")
    tools = ToolsRouter()

    @tools.tool
    def where() -> dict[str, Any]:
        try:
            asyncio.get_running_loop()
            looped = True
        except RuntimeError:
            looped = False
        return {
            "thread": threading.get_ident(),
            "local": getattr(local, "value", None),
            "variable": variable.get(),
            "loop": looped,
        }

    @tools.tool
    async def async_where() -> dict[str, Any]:
        return {"thread": threading.current_thread().name, "variable": variable.get()}

    @tools.tool
    def speak(ctx: SyncContext) -> str:
        for number in range(3):
            ctx.report_progress(number)
            local.spoken = (*getattr(local, "spoken", ()), number)
        return f"{threading.get_ident()} {variable.get()}"

    @tools.tool
    async def async_speak(ctx: Context) -> str:
        try:
            for number in range(3):
                await ctx.report_progress(number)
            await asyncio.sleep(0)
            return variable.get()
        finally:
            ended.set()

    @tools.tool
    async def wait(ctx: Context) -> str:
        try:
            await ctx.report_progress(0)
            await asyncio.sleep(60)
            return "late"
        finally:
            ended.set()

    ended = threading.Event()
    server.ended = ended  # type: ignore[attr-defined]
    server.include_router(tools)
    if middleware:

        class Mark(BaseHTTPMiddleware):
            async def dispatch(self, request: Any, call_next: Any) -> Any:
                response = await call_next(request)
                response.headers["x-mark"] = "yes"
                return response

        server.add_middleware(Mark)
    return server


class Response:
    """What a WSGI application answered; `chunks` is still to be read."""

    def __init__(self, app: Any, environ: dict[str, Any]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: Iterator[bytes] = iter(app(environ, self._start))

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.split()[0])
        self.headers = {name.lower(): value for name, value in headers}

    def json(self) -> Any:
        return json.loads(b"".join(self.chunks))


def environ(path: str, headers: dict[str, str], body: bytes, method: str = "POST") -> Any:
    names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        **names,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": "http",
    }


def call(server: MCPServer, tool: str, *, progress: bool = False) -> Response:
    meta: Any = json.loads(stateless("x")[1])["params"]["_meta"]
    if progress:
        meta["progressToken"] = "p"
    headers, body = stateless("tools/call", {"name": tool, "_meta": meta})
    return Response(server.wsgi, environ("/mcp", headers, body))


def result(response: Response) -> Any:
    return response.json()["result"]["structuredContent"]


@pytest.mark.parametrize("middleware", [False, True])
def test_a_plain_function_runs_on_the_thread_of_the_request(middleware: bool) -> None:
    server = make(middleware=middleware)
    local.value = "connection"
    token = variable.set("request")
    try:
        response = call(server, "where")
        assert result(response) == {
            "thread": threading.get_ident(),
            "local": "connection",
            "variable": "request",
            "loop": False,
        }
        assert response.headers.get("x-mark") == ("yes" if middleware else None)
    finally:
        variable.reset(token)
        del local.value


def test_a_plain_function_makes_no_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a loop was asked for")

    monkeypatch.setattr(background, "loop", refuse)
    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    server = make()
    assert result(call(server, "where"))["loop"] is False
    assert b"".join(call(server, "speak", progress=True).chunks).count(b"event:") == 4


def test_coroutines_share_one_background_loop_and_see_the_context() -> None:
    server = make()
    token = variable.set("request")
    try:
        seen = [result(call(server, "async_where")) for _ in range(3)]
    finally:
        variable.reset(token)
    assert seen == [{"thread": "mcp-mount-loop", "variable": "request"}] * 3
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("mcp-mount-loop") == 1


def test_a_plain_function_that_speaks_stays_on_its_thread_and_is_heard_at_once() -> None:
    server = make()
    local.spoken = ()
    token = variable.set("request")
    response = call(server, "speak", progress=True)
    try:
        assert local.spoken == ()
        first = next(response.chunks)
        assert b'"progress":0' in first
        assert response.headers["content-type"] == "text/event-stream"
        assert b'"progress":1' in next(response.chunks)
        assert local.spoken == (0,)
        rest = b"".join(response.chunks)
    finally:
        variable.reset(token)
    assert local.spoken == (0, 1, 2)
    assert f"{threading.get_ident()} request".encode() in rest


def test_nothing_is_streamed_that_nobody_asked_for() -> None:
    response = call(make(), "speak")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["result"]["content"][0]["text"].endswith("unset")


def test_a_client_that_leaves_ends_a_coroutine() -> None:
    server = make()
    response = call(server, "wait", progress=True)
    next(response.chunks)
    response.chunks.close()  # type: ignore[attr-defined]
    assert server.ended.wait(60)  # type: ignore[attr-defined]


def test_a_plain_function_runs_to_its_end_when_its_client_leaves() -> None:
    local.spoken = ()
    response = call(make(), "speak", progress=True)
    next(response.chunks)
    assert local.spoken == ()
    response.chunks.close()  # type: ignore[attr-defined]
    assert local.spoken == (0, 1, 2)


def test_a_coroutine_that_speaks_is_heard() -> None:
    body = b"".join(call(make(), "async_speak", progress=True).chunks)
    assert body.count(b"event:") == 4
    assert body.count(b"notifications/progress") == 3


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("tool", ["speak", "async_speak"])
def test_streams_pass_through_middleware(middleware: bool, tool: str) -> None:
    body = b"".join(call(make(middleware=middleware), tool, progress=True).chunks)
    assert body.count(b"notifications/progress") == 3
    assert body.count(b'"resultType":"complete"') == 1


@pytest.mark.parametrize("middleware", [False, True])
def test_other_routes_come_through_the_bridge(middleware: bool) -> None:
    server = make(middleware=middleware)
    response = Response(server.wsgi, environ("/tools", {}, b"", "GET"))
    assert {tool["name"] for tool in response.json()} >= {"where", "speak"}
    posted = environ("/tools/where", {"content-type": "application/json"}, b"{}")
    assert "thread" in Response(server.wsgi, posted).json()


@pytest.mark.parametrize(
    "left",
    [
        {"SERVER_PORT": "", "SERVER_NAME": ""},
        {"QUERY_STRING": "name=\xc3\xa9&x=%20"},
        {"QUERY_STRING": None},
    ],
)
def test_odd_environments_of_servers_are_served(left: dict[str, Any]) -> None:
    """gunicorn behind a Unix socket knows no port; some servers pass on what is no ASCII."""
    response = Response(make().wsgi, environ("/tools", {}, b"", "GET") | left)
    assert response.json()
    assert response.status == 200


@pytest.mark.parametrize("path", ["/nothing", "/\xff\xfe"])
def test_an_unknown_path_is_not_found(path: str) -> None:
    response = Response(make().wsgi, environ(path, {}, b"", "GET"))
    assert response.json() == {"detail": "Not Found"}
    assert response.status == 404


def test_a_chunked_body_is_read_to_its_end() -> None:
    for middleware in (False, True):
        server = make(middleware=middleware)
        headers, body = stateless("tools/call", {"name": "where"})
        variables = environ("/mcp", headers, body) | {"wsgi.input_terminated": True}
        del variables["CONTENT_LENGTH"]
        assert "thread" in result(Response(server.wsgi, variables))
