"""Streams under ASGI whose responses Django drops, unclosed, before it has sent them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import markcoroutinefunction

from mcp_mount import ChatRequest, CompletionsRouter

pytestmark = pytest.mark.usefixtures("project", "own_servers")


class Replacing:
    """Middleware that answers with a response of its own. What is dropped is dropped as when the
    client leaves while middleware has the response."""

    async_capable, sync_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        from django.http import HttpResponse

        await self._get_response(request)
        return HttpResponse("replaced")


def test_a_stream_that_is_dropped_unclosed_ends() -> None:
    from django.core.handlers.asgi import ASGIHandler
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer

    server, router = MCPServer("dropped", open=True), CompletionsRouter()
    ended = asyncio.Event()

    @router.chat
    async def endless(request: ChatRequest) -> AsyncIterator[str]:
        try:
            while True:
                yield "on"
                await asyncio.sleep(0)
        finally:
            ended.set()

    server.include_router(router)
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        while not waiting:
            await asyncio.sleep(3600)
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/mcp/v1/chat/completions",
            "query_string": b"",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ],
        }
        await ASGIHandler()(scope, receive, send)
        await asyncio.wait_for(ended.wait(), 20)

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    middleware = [f"{__name__}.Replacing"]
    with override_settings(ROOT_URLCONF=Urls, MIDDLEWARE=middleware, ALLOWED_HOSTS=["localhost"]):
        asyncio.run(run())
    assert sent[-1]["body"] == b"replaced"
