"""Silent handlers on real servers: what a client hears, and what its leaving means."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.load import command
from tests.requests import initialize, message, session_headers, stateless

SERVERS = {"uvicorn": "asgi", "hypercorn": "asgi", "gthread": "wsgi"}
TOOLS = ("quiet", "quiet_context")


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    port = free_port()
    target = f"tests.integrations.silent_apps:{SERVERS[request.param]}"
    with running(command(request.param, target, port), port):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(autouse=True)
def afresh(url: str) -> Iterator[None]:
    call(url, "let_go", on=False)
    yield
    call(url, "let_go", on=True)


def call(url: str, tool: str, **arguments: Any) -> Any:
    headers, body = stateless("tools/call", {"name": tool, "arguments": arguments})
    answer = httpx2.post(url, headers=headers, content=body, timeout=10)
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        # A machine that is slow to begin has it kept alive, too.
        text = next(line[6:] for line in text.splitlines() if line.startswith("data: {"))
    return json.loads(text)["result"]


def request(url: str, version: str, tool: str) -> tuple[dict[str, str], bytes]:
    params = {"name": tool, "arguments": {}}
    if version == "2026-07-28":
        return stateless("tools/call", params)
    own = {"content-type": "application/json", "accept": "application/json"}
    opened = httpx2.post(url, headers=own, content=initialize(version))
    headers = session_headers(opened.headers["mcp-session-id"], version)
    return headers, json.dumps(message("tools/call", params)).encode()


def until(good: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("version", ["2026-07-28", "2025-11-25", "2025-06-18"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_silent_coroutine_keeps_its_response_alive(url: str, version: str, tool: str) -> None:
    headers, body = request(url, version, tool)
    with httpx2.stream("POST", url, headers=headers, content=body, timeout=10) as response:
        assert response.headers["content-type"] == "text/event-stream"
        lines = response.iter_lines()
        assert next(lines) == ": keep-alive"
        seen: list[str] = []
        while seen.count(": keep-alive") < 2:
            seen.append(next(lines))
        call(url, "let_go", on=True)
        seen += lines
    [answer] = [json.loads(line[6:]) for line in seen if line.startswith("data: {")]
    assert answer["result"]["content"][0]["text"] == tool


def leave(url: str, headers: dict[str, str], body: bytes, begun: Callable[[], bool]) -> None:
    """Send a request, and close the connection once its tool has begun."""
    port = int(url.split(":")[2].partition("/")[0])
    lines = [f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("".join([*lines, "\r\n"]).encode() + body)
        until(begun)


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_session_whose_client_has_left_goes_on(url: str, version: str, tool: str) -> None:
    headers, body = request(url, version, tool)

    def seen() -> Any:
        return call(url, "seen")["structuredContent"]

    leave(url, headers, body, lambda: seen()["begun"] == [tool])
    # Comments are sent meanwhile: the server notices that the client has left.
    time.sleep(0.2)
    assert seen()["ended"] == []
    call(url, "let_go", on=True)
    until(lambda: bool(seen()["ended"] == [tool]))
