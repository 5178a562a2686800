"""Web servers that replace their workers (SIGHUP): calls that run meanwhile get their results."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.requests import stateless

APPS = "tests.integrations.reload_apps"

SERVERS = {
    "gunicorn": ("gunicorn", f"{APPS}:wsgi", "--threads", "8", "--no-control-socket"),
    "gunicorn-preload": (
        *("gunicorn", f"{APPS}:wsgi", "--threads", "8", "--no-control-socket"),
        "--preload",
    ),
    "uvicorn": ("uvicorn", f"{APPS}:asgi", "--workers", "2"),
    "hypercorn": ("hypercorn", f"{APPS}:asgi", "--workers", "2", "--graceful-timeout", "30"),
    "granian": ("granian", f"{APPS}:asgi", "--interface", "asgi"),
    "granian-wsgi": ("granian", f"{APPS}:wsgi", "--interface", "wsgi", "--blocking-threads", "8"),
}


@pytest.mark.parametrize("tool", ["plain", "coroutine"])
@pytest.mark.parametrize("name", list(SERVERS))
def test_a_call_that_runs_while_its_worker_is_replaced_has_its_result(
    name: str, tool: str, tmp_path: Path
) -> None:
    port = free_port()
    words = [sys.executable, "-m", *SERVERS[name]]
    if name.startswith(("gunicorn", "hypercorn")):
        words += ["--bind", f"127.0.0.1:{port}"]
    else:
        words += ["--port", str(port)]
    headers, body = stateless("tools/call", {"name": tool, "arguments": {}})

    def call() -> httpx2.Response:
        url = f"http://127.0.0.1:{port}/mcp"
        return httpx2.post(url, headers=headers, content=body, timeout=60)

    environment = {"FOLDER": str(tmp_path)}
    with running(words, port, environment=environment) as process, ThreadPoolExecutor() as pool:
        answer = pool.submit(call)
        while not list(tmp_path.glob("begun *")):
            assert not answer.done(), answer.result()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGHUP)
        time.sleep(1)
        (tmp_path / "go").touch()
        result = answer.result(60)
    assert result.status_code == 200
    assert not result.json()["result"].get("isError", False)
