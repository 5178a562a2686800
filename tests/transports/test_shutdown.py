"""Subscriptions that begin when their web server has been told to end, before anybody has listened
for that."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from hypercorn.asyncio import serve
from hypercorn.config import Config

from mcp_mount import MCPServer
from mcp_mount.transports.shutdown import before_shutdown
from sample_projects.processes import free_port
from tests.requests import stateless

LISTEN = stateless("subscriptions/listen", {"notifications": {"toolsListChanged": True}})


def server_with_a_tool() -> MCPServer:
    server = MCPServer("ending", open=True)

    @server.tool
    def one() -> int:
        return 1

    return server


@contextmanager
def handling_signals(handler: Any) -> Iterator[None]:
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_one_ends_at_once_where_uvicorn_has_been_told_to_end() -> None:
    host = uvicorn.Server(uvicorn.Config("unused:app"))
    host.should_exit = True

    async def listen_late() -> str:
        transport = httpx2.ASGITransport(server_with_a_tool())
        headers, body = LISTEN
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            asking = client.post("/mcp", headers=headers, content=body)
            return (await asyncio.wait_for(asking, 20)).text

    with handling_signals(host.handle_exit):
        said = asyncio.run(listen_late())
    assert "subscriptions/acknowledged" in said
    assert '"resultType":"complete"' in said


def test_what_fails_at_the_end_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    class Part:
        def fail(self) -> None:
            raise RuntimeError("it is gone")

        def end(self) -> None:
            told.append("ended")

    part = Part()
    with handling_signals(lambda number, frame: told.append("handled")):
        for callback in (part.fail, part.end):
            before_shutdown(callback)
        signal.raise_signal(signal.SIGTERM)
    assert told == ["ended", "handled"]
    assert "it is gone" in caplog.text


def test_one_ends_at_once_where_hypercorn_has_been_told_to_end() -> None:
    server, port = server_with_a_tool(), free_port()

    async def listen_late() -> str:
        has_arrived, is_told = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                has_arrived.set()
                await is_told.wait()
                # The worker sees it.
                await asyncio.sleep(0.1)
            await server(scope, receive, send)

        async def until_told() -> None:
            await is_told.wait()

        config = Config()
        config.bind, config.graceful_timeout = [f"127.0.0.1:{port}"], 30
        hosting = asyncio.ensure_future(serve(app, config, shutdown_trigger=until_told))
        headers, body = LISTEN
        retrying = httpx2.AsyncHTTPTransport(retries=5)
        async with httpx2.AsyncClient(transport=retrying, timeout=20) as client:
            url = f"http://127.0.0.1:{port}/mcp"
            asking = asyncio.ensure_future(client.post(url, headers=headers, content=body))
            await has_arrived.wait()
            is_told.set()
            answer = await asking
        await hosting
        return answer.text

    assert '"resultType":"complete"' in asyncio.run(listen_late())
