"""Handlers that raise what is meant to end a process: it ends their call, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.integrations.exit_apps import EXITS
from tests.load import command
from tests.requests import meta, stateless

APPS = "tests.integrations.exit_apps"
HANDLERS = [
    *("plain", "plain_speaking", "coroutine", "coroutine_speaking", "inner_task", "nested"),
    *("middleware", "check"),
]


@pytest.fixture(
    scope="module",
    params=[("uvicorn", "asgi"), ("gthread", "flask"), ("sync", "flask")],
    ids=lambda host: "-".join(host),
)
def host(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, Any]]:
    """The kind of interface, the URL and the process of a host."""
    server, app = request.param
    port = free_port()
    with running(command(server, f"{APPS}:{app}", port), port) as process:
        yield app, f"http://127.0.0.1:{port}/mcp", process


def call(url: str, tool: str, **arguments: str) -> Any:
    params = {"name": tool, "arguments": arguments, "_meta": {**meta(), "progressToken": 1}}
    headers, body = stateless("tools/call", params)
    response = httpx2.post(url, headers=headers, content=body, timeout=20)
    if response.headers["content-type"].startswith("text/event-stream"):
        lines = [line for line in response.text.splitlines() if line.startswith("data: {")]
        return json.loads(lines[-1][6:])
    return response.json()


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_raises_ends_its_call_and_nothing_else(
    host: tuple[str, str, Any], handler: str, kind: str
) -> None:
    interface, url, process = host
    if handler == "inner_task" and (interface == "asgi" or kind == "GeneratorExit"):
        pytest.skip("asyncio's own: it ends the loop of the web server, or closes who awaits it")
    answer = call(url, handler, kind=kind)
    assert answer.get("error", {}).get("code") == -32603 or answer["result"]["isError"], answer
    assert "out of here" not in json.dumps(answer)
    for tool in ("fine", "fine_async"):
        assert call(url, tool)["result"]["content"][0]["text"] == "fine"
    assert process.poll() is None
