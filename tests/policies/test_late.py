"""Calls that take too long leave nothing behind: no thread, no lock, no transaction."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import free_port, running
from tests.requests import stateless

APPS = "tests.policies.late_apps"
SERVERS: dict[str, Callable[[str], list[str]]] = {
    "asgi": lambda port: [
        *(sys.executable, "-m", "uvicorn", "--factory", f"{APPS}:asgi"),
        *("--log-level", "warning", "--port", port),
    ],
    "wsgi": lambda port: [
        *(sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "16"),
        *("--log-level", "warning"),
        *(f"{APPS}:wsgi()", "--bind", f"127.0.0.1:{port}"),
    ],
}


def call(port: int, tool: str, arguments: Any) -> Any:
    headers, body = stateless("tools/call", {"name": tool, "arguments": arguments})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/mcp", body, headers)
        return json.loads(connection.getresponse().read())["result"]
    finally:
        connection.close()


def call_many(
    kind: str, count: int, folder: Path, at_a_time: int = 8
) -> tuple[dict[str, int], Any]:
    """What so many late calls are answered, by how often; and what they leave behind."""
    port, said = free_port(), dict[str, int]()
    server = running(SERVERS[kind](str(port)), port, environment={"LATE_FOLDER": str(folder)})
    with server, ThreadPoolExecutor(at_a_time) as pool:
        kinds = ["log", "lock", "query", "spin"]
        results = pool.map(lambda n: call(port, "late", {"what": kinds[n % 4]}), range(count))
        for result in results:
            text = result["content"][0]["text"]
            said[text] = said.get(text, 0) + 1
        return said, call(port, "state", {})["structuredContent"]


@pytest.mark.parametrize("kind", list(SERVERS))
def test_calls_that_take_too_long_leave_nothing_behind(kind: str, tmp_path: Path) -> None:
    said, left = call_many(kind, 64, tmp_path)
    assert sum(said.values()) == 64
    assert all(
        text.startswith(("late took longer than 0.05 seconds", "late could not begin within"))
        for text in said
    )
    # Under ASGI, the threads of the pool stay for the next calls.
    assert left.pop("threads") < 64
    assert left == {"running": 0, "log": True, "condition": True, "queue": True, "items": 0}
