"""Our own HTTP client, for what wrk cannot do: streams, questions, listeners; or where it is not.

It sends bytes that were encoded before, on connections that are kept open.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from benchmarks.messages import Request, opened, opening

_LIMIT = 64 * 1024 * 1024
SECONDS = 30.0
"""How long an answer may take."""


class WrongAnswer(Exception):
    """The answer of a server is not the one that was expected."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end.

    Attributes:
        size: Bytes on the wire, head included.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    size: int


class Connection:
    """One connection to a server on this machine."""

    def __init__(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._port = port
        self._reader = reader
        self._writer = writer
        self._beside: Connection | None = None
        self.size = 0

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(port, *await asyncio.open_connection("127.0.0.1", port, limit=_LIMIT))

    def close(self) -> None:
        self._writer.close()
        if self._beside is not None:
            self._beside.close()

    async def beside(self) -> Connection:
        """Another connection to the server, for what is sent while this one reads a stream."""
        if self._beside is None:
            self._beside = await Connection.open(self._port)
        return self._beside

    async def request(self, data: bytes) -> Response:
        """Send a request and read the whole answer."""
        status, headers = await self.begin(data)
        length = headers.get("content-length")
        if length is not None:
            body = await self._reader.readexactly(int(length))
            self.size += len(body)
        elif "chunked" in headers.get("transfer-encoding", ""):
            body = b"".join([chunk async for chunk in self.chunks()])
        else:
            body = b"" if status in (202, 204) else await self._reader.read()
            self.size += len(body)
        return Response(status, headers, body, self.size)

    async def begin(self, data: bytes) -> tuple[int, dict[str, str]]:
        """Send a request and read the head of its answer."""
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.size = len(head)
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ", 2)[1]), {name.lower(): at.strip() for name, _, at in pairs}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a body, as they come; several events may be in one."""
        while True:
            line = await self._reader.readline()
            if not line:
                raise WrongAnswer("the connection ended within a body")
            length = int(line, 16)
            chunk = await self._reader.readexactly(length + 2)
            self.size += len(line) + length + 2
            if not length:
                return
            yield chunk[:-2]


async def open_session(port: int, path: str = "/mcp", capabilities: object = None) -> str:
    """Open a session; returns its id."""
    connection = await Connection.open(port)
    try:
        response = await connection.request(opening(path, capabilities).encode())
        if response.status != 200:
            raise WrongAnswer(f"initialize: {response.status} {response.body[:300]!r}")
        session = response.headers["mcp-session-id"]
        accepted = await connection.request(opened(session, path).encode())
        if accepted.status not in (200, 202, 204):
            raise WrongAnswer(f"initialized: {accepted.status} {accepted.body[:300]!r}")
        return session
    finally:
        connection.close()


async def prepare(port: int, request: Request) -> tuple[Request, Response]:
    """Open a session if the request needs one, send it once and check the answer.

    Returns:
        The request as it is to be sent, and its answer.

    Raises:
        WrongAnswer: If the answer is not as expected.
    """
    if request.in_session:
        request = request.within(await open_session(port, request.path))
    connection = await Connection.open(port)
    try:
        response = await asyncio.wait_for(connection.request(request.encode()), SECONDS)
    finally:
        connection.close()
    if not is_right(request, response):
        raise WrongAnswer(f"{response.status} {response.body[:500]!r}")
    if request.where:
        found = json.loads(response.body)
        for key in request.where:
            found = found[key]
        if found != "hello":
            raise WrongAnswer(f"{found!r}")
    return request, response


def is_right(request: Request, response: Response) -> bool:
    return response.status == 200 and request.expect in response.body


Act = Callable[[Connection], Awaitable[bool]]
"""Asks a server for something, once; whether the answer is right."""


def sending(request: Request) -> Act:
    """Send a request and look for what its answer has to contain."""
    following = request.encoder()

    async def act(connection: Connection) -> bool:
        return is_right(request, await connection.request(following()))

    return act


async def hammer(port: int, act: Act, connections: int, seconds: float) -> tuple[list[float], int]:
    """Do something again and again, on several connections.

    Returns:
        The time that each took, in seconds; and how many were wrong.
    """
    times: list[float] = []
    wrong = 0
    end = time.perf_counter() + seconds

    async def use(connection: Connection) -> None:
        nonlocal wrong
        while (started := time.perf_counter()) < end:
            if not await act(connection):
                wrong += 1
            times.append(time.perf_counter() - started)

    opened = await asyncio.gather(*(Connection.open(port) for _ in range(connections)))
    try:
        for ended in await asyncio.gather(*map(use, opened), return_exceptions=True):
            wrong += ended is not None
    finally:
        for connection in opened:
            connection.close()
    return times, wrong
