"""Requests to the other routes of a server, from Django to its ASGI application and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from io import BytesIO
from typing import Any, Final, TypeVar

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from mcp_mount.base import MCPServer
from mcp_mount.protocol import Request
from mcp_mount.transports.in_process import Application, ApplicationExchange, ClientGone, Message
from mcp_mount.transports.scopes import HOST_REQUEST, RUNNER, Scope
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


class _ViewExchange(ApplicationExchange):
    """A request and its response, between the server's application and Django's view."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    def sent(self, message: Message) -> None:
        self._messages.put_nowait(message)

    def ended(self) -> None:
        self._messages.put_nowait(None)

    def begin(self, application: Application, scope: Scope) -> None:
        """Have the application answer, in a task of its own."""
        self._task = asyncio.create_task(self.run(application, scope))

    async def start(self) -> Message | None:
        """The message that starts the response.

        Raises:
            Exception: What the application raises before.
        """
        self.go_on()
        message = await self._messages.get()
        if message is None:
            await self._task
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """The parts of the body."""
        more = True
        while more and (message := await self._messages.get()) is not None:
            yield message.get("body", b"")
            self.go_on()
            more = message.get("more_body", False)

    async def end(self) -> None:
        """Let the application end: it hears that the client has left, and may have something to do
        after a whole response."""
        self.leave()
        await asyncio.wait([self._task])
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and not isinstance(error, ClientGone):
            logger.error("A request failed after its response", exc_info=error)


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
