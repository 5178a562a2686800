"""Traces over real HTTP: from the official client's span, through the server, down a chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry import propagate

from sample_projects.processes import free_port
from tests.observability.test_telemetry import Watch, build


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nobody reads it."""


@contextmanager
def listening(kind: str, server: Any) -> Iterator[str]:
    """The server in this process, behind a real web server."""
    port = free_port()
    if kind == "wsgi":
        site = make_server("127.0.0.1", port, server.wsgi, handler_class=Quiet)
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        stop = site.shutdown
    else:
        loop = uvicorn.Server(uvicorn.Config(server, port=port, log_level="error"))
        thread = threading.Thread(target=loop.run)

        def stop() -> None:
            loop.should_exit = True

    thread.start()
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"http://127.0.0.1:{port}/none")
                break
            except httpx2.ConnectError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        stop()
        thread.join()
        if kind == "wsgi":
            site.server_close()


@pytest.mark.parametrize("where", ["headers", "meta"])
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_one_trace_from_the_client_to_the_innermost_tool(kind: str, where: str) -> None:
    watch = Watch()
    tracer = watch.tracers.get_tracer("client")

    async def session(url: str) -> str:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        async with (
            httpx2.AsyncClient(headers=headers if where == "headers" else {}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,  # type: ignore[arg-type]
        ):
            meta: Any = headers if where == "meta" else None
            result = await client.call_tool("add_twice", {"a": 2}, meta=meta)
            return result.content[0].text  # type: ignore[union-attr]

    with listening(kind, build(watch)) as url, tracer.start_as_current_span("agent") as agent:
        assert anyio.run(session, url) == "6"
    own = agent.get_span_context()
    call = watch.span("tools/call add_twice")
    assert call.context is not None
    assert call.parent is not None
    assert call.context.trace_id == own.trace_id
    assert call.parent.span_id == own.span_id
    inner = [one for one in watch.spans() if one.name == "execute_tool add"]
    assert [one.parent and one.parent.span_id for one in inner] == [call.context.span_id] * 2
    innermost = [one for one in watch.spans() if one.name == "own"]
    assert {one.parent and one.parent.span_id for one in innermost} == {
        one.context and one.context.span_id for one in inner
    }
    calls = [one for one in watch.durations() if one.get("gen_ai.tool.name")]
    assert [(one["gen_ai.tool.name"], one["count"]) for one in calls] == [("add_twice", 1)]
    watch.close()
