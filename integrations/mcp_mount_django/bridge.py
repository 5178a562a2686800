"""Requests to the other routes of a server, from Django to its ASGI application and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from io import BytesIO
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from mcp_mount.base import MCPServer
from mcp_mount.protocol import Request
from mcp_mount.transports.asgi import HOST_REQUEST


def bridge_wsgi(
    server: MCPServer, request: HttpRequest, rest: str | None, known: Request
) -> HttpResponseBase:
    """Answer under WSGI, through a2wsgi. known: what the view knows of the request."""
    # Whatever is asked of the caller is asked on the background loop.
    known.may_block = True
    prefix, path = (part.encode().decode("latin-1") for part in _split(request, rest))
    body = request.body
    environ = {
        **request.META,
        "SCRIPT_NAME": prefix,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        HOST_REQUEST: known,
    }
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = [int(status.split(" ", 1)[0]), headers]

    chunks = iter(server.wsgi.bridge(environ, start_response))
    first = next(chunks, b"")

    def whole() -> Iterator[bytes]:
        yield first
        yield from chunks

    return _with_headers(StreamingHttpResponse(whole(), status=started[0]), started[1])


async def bridge_asgi(
    server: MCPServer, request: Any, rest: str | None, known: Request
) -> HttpResponseBase:
    """Answer under ASGI: the server's application runs in a task of its own."""
    prefix, path = _split(request, rest)
    scope = {**request.scope, "root_path": prefix, "path": prefix + path, HOST_REQUEST: known}
    scope.pop("app", None)
    body = request.body
    messages: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()
    sent = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if not sent.is_set():
            sent.set()
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError("the task is cancelled before")

    async def run() -> None:
        try:
            await server(scope, receive, messages.put)
        finally:
            messages.put_nowait(None)

    task = asyncio.create_task(run())
    start = await messages.get()
    if start is None:
        await task
        return HttpResponse(status=500)

    async def chunks() -> AsyncIterator[bytes]:
        more = True
        try:
            while more and (message := await messages.get()) is not None:
                yield message.get("body", b"")
                more = message.get("more_body", False)
        finally:
            # After a whole response the application may still have background tasks to run.
            if more:
                task.cancel()

    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    ]
    return _with_headers(StreamingHttpResponse(chunks(), status=start["status"]), headers)


def _split(request: HttpRequest, rest: str | None) -> tuple[str, str]:
    """The prefix that the server is mounted at, and the path below it."""
    path = f"/{rest}" if rest is not None else ""
    return request.path[: len(request.path) - len(path)], path


def _with_headers(
    response: StreamingHttpResponse, headers: list[tuple[str, str]]
) -> StreamingHttpResponse:
    del response["content-type"]
    for name, value in headers:
        response[name] = value
    return response
