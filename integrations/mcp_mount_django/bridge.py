"""Requests to the other routes of a server, from Django to its ASGI application and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, MutableMapping
from io import BytesIO
from typing import Any, Final, TypeVar

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from mcp_mount.base import MCPServer
from mcp_mount.protocol import Request
from mcp_mount.transports.scopes import HOST_REQUEST, RUNNER
from mcp_mount.transports.threads import Runner
from mcp_mount.wire.logs import own_logger
from mcp_mount_django.paths import mount_of
from mcp_mount_django.threads import RequestThread, Streamed

logger = own_logger("mcp_mount")

Response = TypeVar("Response", bound=HttpResponseBase)


def bridge_wsgi(
    server: MCPServer, runner: Runner, request: HttpRequest, rest: str | None, known: Request
) -> HttpResponseBase:
    """Answer under WSGI.

    Args:
        server: The server.
        runner: Runs what is plain on this thread.
        request: Django's request.
        rest: What of the path is below the server.
        known: What the view knows of the request.
    """
    # Whatever is asked of the caller is asked on the background loop.
    known.may_block = True
    prefix, path = (part.encode().decode("latin-1") for part in _split(request, rest))
    # Not `request.body`: Django reads no chunked body under WSGI, the view does.
    body = known.body
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

    chunks = server.wsgi.bridge(environ, start_response, runner)
    response = _Chunks(chunks)
    return _with_headers(StreamingHttpResponse(response, status=started[0]), started[1])


class _Chunks:
    """A WSGI response whose first chunk has been read: its status is known then."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._rest = iter(chunks)
        self._first: bytes | None = next(self._rest, b"")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        return next(self._rest) if first is None else first

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


async def bridge_asgi(
    server: MCPServer,
    runner: Runner,
    thread: RequestThread,
    request: Any,
    rest: str | None,
    known: Request,
) -> HttpResponseBase:
    """Answer under ASGI: the server's application runs in a task of its own, with the thread of the
    request.

    Args:
        server: The server.
        runner: Runs what is plain.
        thread: The thread of the request.
        request: Django's request.
        rest: What of the path is below the server.
        known: What the view knows of the request.
    """
    prefix, path = _split(request, rest)
    scope = {
        **request.scope,
        "root_path": prefix,
        "path": prefix + path,
        HOST_REQUEST: known,
        RUNNER: runner,
    }
    scope.pop("app", None)
    exchange = _ViewExchange(request.body)
    exchange.begin(server, scope)
    try:
        start = await exchange.start()
    except BaseException:
        await exchange.end()
        raise
    if start is None:
        return HttpResponse(status=500)
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    ]
    streamed = Streamed(exchange.chunks(), exchange.end, thread)
    return _with_headers(StreamingHttpResponse(streamed, status=start["status"]), headers)


class _ViewExchange:
    """A request and its response, as the server's application has them."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._is_read = False
        self._left = asyncio.Event()
        self._room = asyncio.Event()
        self._messages: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()

    def begin(self, application: Any, scope: MutableMapping[str, Any]) -> None:
        self._task = asyncio.create_task(self._run(application, scope))

    async def start(self) -> MutableMapping[str, Any] | None:
        """The message that starts the response. Raises what the application raises before."""
        self._room.set()
        message = await self._messages.get()
        if message is None:
            await self._task
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more and (message := await self._messages.get()) is not None:
            yield message.get("body", b"")
            self._room.set()
            more = message.get("more_body", False)

    async def end(self) -> None:
        """Let the application end: it hears that the client has left, and may have something to do
        after a whole response."""
        self._left.set()
        self._room.set()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            logger.error("A request failed after its response", exc_info=error)

    async def _run(self, application: Any, scope: MutableMapping[str, Any]) -> None:
        try:
            await application(scope, self._receive, self._send)
        finally:
            self._messages.put_nowait(None)

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self._room.wait()
        if self._left.is_set():
            # As ASGI servers do: an application that sends without end must end.
            raise OSError("The client has left")
        if message["type"] == "http.response.body":
            self._room.clear()
        self._messages.put_nowait(message)


def _split(request: HttpRequest, rest: str | None) -> tuple[str, str]:
    """The prefix that the server is mounted at, and the path below it."""
    return mount_of(request, rest), "" if rest is None else f"/{rest}"


def _with_headers(
    response: StreamingHttpResponse, headers: list[tuple[str, str]]
) -> StreamingHttpResponse:
    del response["content-type"]
    for name, value in headers:
        response[name] = value
    return expected(response)


_EXPECTED: Final = frozenset({400, 401, 404, 405, 406, 415})
"""What clients of the protocol meet in ordinary use: they ask for a stream that there is none of,
for a session that has ended, before they have logged in."""


def expected(response: Response) -> Response:
    """Let Django log no warning of a response that is an ordinary part of the protocol."""
    if response.status_code in _EXPECTED:
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response
