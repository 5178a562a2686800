"""How long Flask's contexts live: as long as the calls of their request, on real servers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.load import command
from tests.requests import meta, stateless

NOTEBOOK = "tests.mcp_mount_flask.notebook"


@pytest.fixture(scope="module", params=["inside", "beside", "beside_asgi"])
def served(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of the notebook, with the server inside and beside."""
    port = free_port()
    server = "uvicorn" if request.param == "beside_asgi" else "gthread"
    with running(command(server, f"{NOTEBOOK}:{request.param}", port), port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def url(served: str) -> str:
    """The base URL of a notebook without notes."""
    assert httpx2.post(f"{served}/anew").text == "empty"
    return served


def request_for(tool: str) -> tuple[dict[str, str], bytes]:
    """A call that asks to hear of progress."""
    params = {"name": tool, "arguments": {}, "_meta": {**meta(), "progressToken": 1}}
    headers, body = stateless("tools/call", params)
    return {**headers, "person": "ada"}, body


def diary(url: str, until: str) -> Any:
    """What the application wrote down, once the last of it is there."""
    deadline = time.monotonic() + 20
    heard: list[str] = []
    while True:
        told = httpx2.get(f"{url}/diary").json()
        heard += told["diary"]
        if any(line.startswith(until) for line in heard):
            return heard, told["notes"]
        assert time.monotonic() < deadline, heard
        time.sleep(0.02)


TORN_DOWN = ["request torn down, None", "application torn down, None"]


@pytest.mark.parametrize("tool", ["save", "save_async"])
def test_the_contexts_of_a_call_last_until_it_ends(url: str, tool: str) -> None:
    headers, body = request_for(tool)
    response = httpx2.post(f"{url}/mcp", headers=headers, content=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert '"saved by ada"' in response.text
    assert diary(url, "application torn down") == (
        ["begun", "ended True", *TORN_DOWN],
        1,
    )


@pytest.mark.parametrize("tool", ["save_slowly", "save_slowly_async"])
def test_the_contexts_of_a_call_last_until_it_ends_though_its_client_left(
    url: str, tool: str
) -> None:
    headers, body = request_for(tool)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = f"POST /mcp HTTP/1.1\r\nhost: x\r\n{''.join(lines)}content-length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"\r\n" + body)
        read = b""
        while b"notifications/progress" not in read:
            read += connection.recv(65536)
    assert httpx2.post(f"{url}/go").text == "gone"
    heard, _ = diary(url, "application torn down")
    heard = [line for line in heard if not line.startswith("ended")]
    assert heard == ["begun", "over True", *TORN_DOWN]
