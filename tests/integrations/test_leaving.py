"""Clients that leave, on real web servers: nothing goes on for them."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sample_projects.processes import free_port, running
from tests.integrations.test_asking import GUNICORN, UVICORN, call
from tests.upstream import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells who has left")

APPS = "tests.integrations.asking_apps"
HOSTS = {"alone": UVICORN, "django_asgi": UVICORN, "flask": GUNICORN, "django_wsgi": GUNICORN}
LEAVERS = 24
MODELS = ("speaks", "speaks_async", "endless", "hang")


@pytest.fixture(scope="module", params=list(HOSTS))
def port(request: pytest.FixtureRequest, served_upstream: Upstream) -> Iterator[int]:
    name, port = request.param, free_port()
    if HOSTS[name] is UVICORN:
        words = [*UVICORN, f"{APPS}:{name}", "--port", str(port)]
    else:
        # Those that leave are not to wait for one another.
        threads = ("--threads", str(2 * LEAVERS))
        words = [*GUNICORN, *threads, f"{APPS}:{name}()", "--bind", f"127.0.0.1:{port}"]
    with running(words, port, environment={"ASKING_UPSTREAM": served_upstream.url}):
        yield port


def ask(port: int, path: str, model: str, *, stream: bool) -> socket.socket:
    request = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    body = json.dumps(request).encode()
    head = (
        f"POST {path}/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(head.encode() + body)
    return connection


def at_work(port: int, upstream: Upstream) -> dict[str, int]:
    told: dict[str, int] = call(f"http://127.0.0.1:{port}", "at_work")["structuredContent"]
    return {**told, "upstream": upstream.open}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_nothing_goes_on_for_clients_that_have_left(
    port: int, upstream: Upstream, stream: bool, request: pytest.FixtureRequest
) -> None:
    path = "" if "alone" in request.node.name else "/mcp"
    # What is made once is there.
    with ask(port, path, "gpt", stream=False) as first:
        assert b"200" in first.recv(100)
    before = at_work(port, upstream)
    with ExitStack() as leaving:
        for model in MODELS * (LEAVERS // len(MODELS)):
            leaving.enter_context(ask(port, path, model, stream=stream))
        deadline = time.monotonic() + 20
        while at_work(port, upstream)["generators"] < LEAVERS // 2 or upstream.open < LEAVERS // 2:
            assert time.monotonic() < deadline, at_work(port, upstream)
            time.sleep(0.05)
    deadline = time.monotonic() + 20
    while (now := at_work(port, upstream)) != before:
        assert time.monotonic() < deadline, (before, now)
        time.sleep(0.05)
