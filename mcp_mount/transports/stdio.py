"""The stdio driver: one client at the other end of two pipes, a JSON-RPC message in each line.

It drives the same core as HTTP does: a line is the body of a request without headers, and what a
call would say in an event stream is a line, too (2026-07-28, basic/transports/stdio).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from mcp_mount.calls.call import Call
from mcp_mount.protocol.exchange import Exchange, Opened, Protocol
from mcp_mount.protocol.resumption import Resumption
from mcp_mount.protocol.sessions import SESSION_HEADER
from mcp_mount.transports.async_streams import AsyncStream
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.threads import Runner, off_loop
from mcp_mount.wire import sse
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import EVENT_STREAM, JSON, MessageId, Reply, Request, is_id

logger = own_logger("mcp_mount")

_RETRY_SECONDS: Final = 1.0
"""After how long a stream is tried again that the server could not open."""


def _nobody() -> AbstractContextManager[Request]:
    return nullcontext(Request("POST", {}))


class StdioTransport:
    """Serves one client, line by line, until its input ends.

    Args:
        protocol: The core of the server.
        runner: How handlers run.
        prepare: Called with each call before it runs, for hosts that have no request here.
        around: What opening a message, and running its calls, happens in; it tells what the host
            knows of the one who calls. A host that keeps something for the length of a request has
            it here for the length of a message.
    """

    def __init__(
        self,
        protocol: Protocol,
        runner: Runner,
        prepare: Callable[[Call], object],
        around: Callable[[], AbstractContextManager[Request]] = _nobody,
    ) -> None:
        self._around = around
        self._protocol = protocol
        self._runner = runner
        self._prepare = prepare
        self._session: str | None = None
        self._running: dict[MessageId, Exchange] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()

    async def serve(self, source: BinaryIO, sink: BinaryIO) -> None:
        """Answer the lines of `source` on `sink`; returns when `source` has ended."""
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._sink = sink
        limit = self._protocol.settings.max_body_bytes
        loop = asyncio.get_running_loop()

        def put(line: bytes | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lines.put_nowait, line)

        threading.Thread(target=_read, args=(source, limit, put), daemon=True).start()
        while (line := await lines.get()) is not None:
            if line.strip():
                await self._take(line)
        for exchange in self._running.values():
            _cancel(exchange)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, line: bytes) -> None:
        if len(line) > self._protocol.settings.max_body_bytes:
            await self._write(self._protocol.too_large().body)
            return
        value = _glance(line)
        if value.get("method") == "notifications/cancelled":
            self._cancel(value)
        if self._session is None and "method" in value and "id" not in value:
            # A notification of a client without handshake: nobody else wants it.
            return
        opened = await self._open("POST", line)
        assert not isinstance(opened, Resumption), "only a GET resumes"
        if isinstance(opened, Reply):
            await self._reply(opened)
            return
        message_id = value.get("id")
        if is_id(message_id):
            self._running[message_id] = opened  # type: ignore[index]
        self._spawn(opened, message_id)

    async def _reply(self, reply: Reply) -> None:
        headers = dict(reply.headers)
        if SESSION_HEADER in headers:
            first = self._session is None
            self._session = headers[SESSION_HEADER]
        else:
            first = False
        if reply.body:
            await self._write(reply.body)
        if first:
            # What a session's GET stream tells over HTTP comes unasked here.
            opened = await self._open("GET", b"")
            if isinstance(opened, Exchange):
                self._spawn(opened, None)
            else:
                self._keep(self._listen_later(opened, self._session))

    async def _listen_later(self, refused: Opened, session: str | None) -> None:
        """Open the session's stream as soon as that is possible: what it tells comes to a client
        that has not asked, and cannot ask again."""
        while isinstance(refused, Reply) and refused.status == 503 and session == self._session:
            await asyncio.sleep(_RETRY_SECONDS)
            refused = await self._open("GET", b"")
        if isinstance(refused, Exchange):
            await self._run(refused, None)
        elif isinstance(refused, Reply) and session == self._session:
            logger.warning("The client hears of no changes: %s", refused.body.decode())

    def _request(self, caller: Request, method: str, body: bytes) -> Request:
        headers = {"content-type": JSON, "accept": f"{JSON}, {EVENT_STREAM}"}
        if method == "GET":
            headers["accept"] = EVENT_STREAM
        if self._session is not None:
            headers[SESSION_HEADER] = self._session
        return replace(
            caller,
            method=method,
            headers=headers,
            body=body,
            mirrors_headers=False,
            is_trusted_local=True,
        )

    async def _open(self, method: str, body: bytes) -> Reply | Exchange | Resumption:
        with self._around() as caller:
            request = self._request(caller, method, body)
            opening = self._protocol.open(request)
            if not request.may_block:
                return await follow_async(opening, self._runner)
            return await off_loop(self._runner, partial(follow, opening))

    def _cancel(self, notification: dict[str, Any]) -> None:
        params = notification.get("params")
        request_id = params.get("requestId") if isinstance(params, dict) else None
        exchange = self._running.get(request_id) if is_id(request_id) else None  # type: ignore[arg-type]
        if exchange is not None:
            _cancel(exchange)

    def _spawn(self, exchange: Exchange, message_id: Any) -> None:
        self._keep(self._run(exchange, message_id))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, exchange: Exchange, message_id: Any) -> None:
        with self._around():
            await self._run_calls(exchange, message_id)

    async def _run_calls(self, exchange: Exchange, message_id: Any) -> None:
        for call in exchange.calls:
            self._prepare(call)
        stream = AsyncStream(exchange.calls, self._runner, frame=bytes)
        try:
            while (message := await stream.next()) is not None:
                if message is not sse.KEEP_ALIVE:
                    await self._write(message)
            if not stream.closed:
                await self._write(exchange.reply().body)
        finally:
            await stream.aclose()
            if self._running.get(message_id) is exchange:
                del self._running[message_id]

    async def _write(self, message: bytes) -> None:
        if not message:
            return
        async with self._writing:
            await asyncio.get_running_loop().run_in_executor(None, self._put, message)

    def _put(self, message: bytes) -> None:
        self._sink.write(message + b"\n")
        self._sink.flush()


def _read(source: BinaryIO, limit: int, put: Callable[[bytes | None], None]) -> None:
    for line in _lines(source, limit):
        put(line)
    put(None)


def _lines(source: BinaryIO, limit: int) -> Iterable[bytes]:
    """The lines of a stream; of one that is too long, a piece that is too long as well."""
    while line := source.readline(limit + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := source.readline(65536)):
            pass
        yield line


def _glance(line: bytes) -> dict[str, Any]:
    """A message as an object, if it is one; the core says what is wrong with any other."""
    try:
        value = from_json(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _cancel(exchange: Exchange) -> None:
    for call in exchange.calls:
        call.cancel()
