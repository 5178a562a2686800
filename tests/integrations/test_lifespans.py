"""The lifespan of a server under real web servers: once, and to its end."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.load import command
from tests.requests import meta, stateless

APPS = "tests.integrations.lifespan_apps"


@pytest.mark.parametrize(
    ("server", "app"),
    [
        ("uvicorn", "alone"),
        ("uvicorn", "mounted"),
        ("uvicorn", "started_twice"),
        ("gthread", "wsgi"),
        ("gthread", "flask"),
    ],
)
def test_a_lifespan_runs_once_and_to_its_end(server: str, app: str, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    headers, body = stateless("tools/call", {"name": "name", "arguments": {}, "_meta": meta()})
    environment = {"LOG": str(log)}
    with running(command(server, f"{APPS}:{app}", port), port, environment=environment) as process:
        for _ in range(2):
            answer = httpx2.post(f"http://127.0.0.1:{port}/mcp", headers=headers, content=body)
            assert answer.json()["result"]["content"][0]["text"] == "warehouse"
        process.terminate()
        process.wait(30)
    assert log.read_text().splitlines() == ["begins", "ends"]
