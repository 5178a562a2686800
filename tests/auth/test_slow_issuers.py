"""Authorization servers that hang, drip or send too much: who needs them waits, and nobody else."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest

from mcp_mount import MCPServer
from mcp_mount.auth import Introspection, fetching, http
from mcp_mount.testing.conversation import HTTPRequest
from mcp_mount.testing.inprocess import ASGIClient, WSGIClient
from tests.auth.issuer import Issuer, issuing
from tests.requests import stateless

URL = "https://api.example.com/mcp"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one
        one.gate.set()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing ends by itself: a test ends what it has begun."""
    for module, name in (
        (http, "_STEP_SECONDS"),
        (http, "WHOLE_SECONDS"),
        (fetching, "MAX_WAIT_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 60.0)
    http._client.cache_clear()
    yield
    http._client.cache_clear()


def guarded(issuer: Issuer, **options: Any) -> MCPServer:
    return MCPServer(
        "guarded",
        resource=URL,
        auth=Introspection(
            f"{issuer.url}/introspect",
            issuer=issuer.url,
            client_id="me",
            client_secret="secret",
            **options,
        ),
    )


def plain() -> MCPServer:
    server = MCPServer("plain")

    @server.tool
    def ping() -> str:
        return "pong"

    return server


def request(token: str | None = None) -> HTTPRequest:
    headers, body = stateless("tools/call", {"name": "ping", "arguments": {}})
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return HTTPRequest("POST", headers, body)


async def send(server: MCPServer, token: str | None = None) -> tuple[int, dict[str, str], bytes]:
    async with ASGIClient(server, "/mcp").open(request(token)) as response:
        body = b"".join([chunk async for chunk in response.chunks])
        return response.status, response.headers, body


@pytest.mark.usefixtures("patient")
def test_a_tool_of_another_server_answers_while_an_issuer_hangs(issuer: Issuer) -> None:
    issuer.gate.clear()
    issuer.answer = {"active": False}

    async def run() -> list[tuple[int, dict[str, str], bytes]]:
        server, other = guarded(issuer), plain()
        unknown = [asyncio.create_task(send(server, f"unknown-{n}")) for n in range(120)]
        # All that are refused at once have been; the others wait for the issuer.
        for done in islice(asyncio.as_completed(unknown), 120 - 64):
            status, headers, _ = await done
            assert (status, headers["retry-after"]) == (503, "2")
        assert not issuer.gate.is_set()
        status, _, body = await asyncio.wait_for(send(other), 30)
        assert status == 200
        assert b"pong" in body
        assert issuer.introspected <= 4
        issuer.gate.set()
        return await asyncio.gather(*unknown)

    answers = asyncio.run(run())
    assert sorted({status for status, _, _ in answers}) == [401, 503]
    assert sum(status == 401 for status, _, _ in answers) == 64


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_token_is_asked_for_once_for_all_who_send_it(issuer: Issuer, kind: str) -> None:
    issuer.gate.clear()
    issuer.answer = {"active": True, "sub": "ada", "aud": URL}
    server = guarded(issuer)

    def over_wsgi() -> int:
        with WSGIClient(server.wsgi, "/mcp").open(request("token")) as response:
            b"".join(response.chunks)
            return response.status

    async def over_asgi() -> list[int]:
        waiting = [asyncio.create_task(send(server, "token")) for _ in range(20)]
        while issuer.introspected == 0:
            await asyncio.sleep(0.001)
        issuer.gate.set()
        return [status for status, _, _ in await asyncio.gather(*waiting)]

    if kind == "asgi":
        statuses = asyncio.run(over_asgi())
    else:
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(over_wsgi) for _ in range(20)]
            while issuer.introspected == 0:
                pass
            issuer.gate.set()
            statuses = [one.result() for one in waiting]
    assert 401 not in statuses
    assert 503 not in statuses
    assert issuer.introspected == 1


def test_a_refusal_is_remembered(issuer: Issuer) -> None:
    server = guarded(issuer)

    async def run() -> None:
        for _ in range(3):
            assert (await send(server, "unknown"))[0] == 401

    asyncio.run(run())
    assert issuer.introspected == 1


def test_an_endpoint_that_has_just_failed_is_left_alone(issuer: Issuer) -> None:
    issuer.fails = True
    server = guarded(issuer)

    async def run() -> None:
        for number in range(20):
            status, headers, _ = await send(server, f"unknown-{number}")
            assert (status, headers["retry-after"]) == (503, "2")

    asyncio.run(run())
    assert issuer.introspected < 20


@contextmanager
def answering(head: bytes, chunks: Iterator[bytes]) -> Iterator[str]:
    """A server that sends these bytes to the first who asks, until they leave."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(head)
                for chunk in chunks:
                    connection.sendall(chunk)
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def test_a_packed_document_is_not_unpacked() -> None:
    packed = gzip.compress(b"[" + b"0," * 10_000_000 + b"0]")
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with (
        answering(head, iter([packed])) as url,
        pytest.raises(http.Unreachable, match="encoding that was not asked for"),
    ):
        http.get_json(url, http.deadline())


def test_a_document_without_end_is_left_at_the_limit() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65536

    with (
        answering(HEAD + b"connection: close\r\n\r\n", endless()) as url,
        pytest.raises(http.Unreachable, match="more than 1048576 bytes"),
    ):
        http.get_json(url, http.deadline())


def test_a_document_that_drips_has_an_end() -> None:
    def drip() -> Iterator[bytes]:
        while True:
            yield b" "

    with (
        answering(HEAD + b"connection: close\r\n\r\n", drip()) as url,
        pytest.raises(http.Unreachable, match="takes more than"),
    ):
        # The time is over already: no byte makes it longer.
        http.get_json(url, 0.0)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":NaN}', b"[]", b"\xff", b""])
def test_what_is_no_object_is_no_answer(body: bytes) -> None:
    head = HEAD + b"content-length: %d\r\n\r\n" % len(body)
    with answering(head, iter([body])) as url, pytest.raises(http.Unreachable):
        http.get_json(url, http.deadline())
