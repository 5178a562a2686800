"""Probes, on every host: real servers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from mcp_mount import HealthRouter, MCPServer
from sample_projects.processes import free_port, running
from tests.conformance.hosts import HOSTS
from tests.conformance.serve import command
from tests.routes.test_composition import get


def below_mount(host: str) -> str:
    return "" if host == "asgi" else "/mcp"


@pytest.mark.parametrize("host", list(HOSTS))
@pytest.mark.parametrize("path", ["healthz", "readyz"])
def test_a_process_that_serves_lives_and_is_ready(host: str, path: str, serve_host: Any) -> None:
    answer = httpx2.get(f"{serve_host(host)}{below_mount(host)}/{path}")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_process_that_is_told_to_end_is_not_ready() -> None:
    server = MCPServer("ending", open=True)
    server.include_router(HealthRouter())
    assert get(server, "/readyz").status_code == 200
    server.core._changes.end()
    answer = get(server, "/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"status": "ending"}
    assert get(server, "/healthz").status_code == 200


@pytest.mark.parametrize("options", ["", "--preload"])
def test_gunicorn_answers_probes_until_its_calls_have_ended(options: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    words = [*command("flask-wsgi", port), *options.split(), "--graceful-timeout", "60"]
    with running(words, port) as process, httpx2.Client() as kept:
        for _ in range(3):
            assert kept.get(f"{url}/readyz").status_code == 200
            # The main thread has come by.
            time.sleep(1.2 if options else 0)
        os.kill(process.pid, signal.SIGTERM)
        # By the connection that was open before: others are refused.
        while kept.get(f"{url}/readyz").status_code == 200:
            time.sleep(0.02)
        process.wait(timeout=30)


def test_probes_need_no_credentials_and_tell_nothing_of_a_server_that_has_failed() -> None:
    @asynccontextmanager
    async def fails(app: Any) -> AsyncIterator[None]:
        raise RuntimeError("the secret reason")
        yield

    guarded = MCPServer("guarded", permission=lambda request: False)
    guarded.include_router(HealthRouter())
    assert get(guarded, "/healthz").status_code == 200
    broken = MCPServer("broken", open=True, lifespan=fails)
    broken.include_router(HealthRouter())
    for path in ("/healthz", "/readyz"):
        answer = get(broken, path)
        assert answer.status_code == 503
        assert "secret" not in answer.text


def test_another_application_may_include_it() -> None:
    app = FastAPI()
    app.include_router(HealthRouter(prefix="/internal"))
    assert get(app, "/internal/readyz").status_code == 200


def test_probes_do_not_ask_redis() -> None:
    """One that is away would take all processes out of service at once."""
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    server = MCPServer("alone", open=True, backplane=nobody, secret_key="for-tests-only")
    server.include_router(HealthRouter())
    for path in ("/healthz", "/readyz"):
        assert get(server, path).status_code == 200
