"""The web servers that people deploy, besides those of the other tests: gevent, patched early and
late, waitress, granian, uWSGI."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
from mcp import Client

from mcp_mount.wire.extensions import TASKS
from sample_projects.processes import free_port, running
from tests.requests import meta, stateless

APPS = "tests.integrations.web_server_apps"


def _gunicorn(target: str, port: int, *options: str) -> list[str]:
    return [
        *("gunicorn", f"{APPS}:{target}()", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gevent", "--no-control-socket", "--log-level", "warning"),
        *("--graceful-timeout", "2", *options),
    ]


def _waitress(target: str, port: int) -> list[str]:
    words = ("waitress", "--listen", f"127.0.0.1:{port}", "--threads", "16")
    return [*words, "--call", f"{APPS}:{target}"]


def _granian(target: str, port: int, *options: str) -> list[str]:
    words = ("granian", "--port", str(port), "--log-level", "warning", *options)
    return [*words, "--factory", f"{APPS}:{target}"]


def _uwsgi(target: str, port: int, *options: str) -> list[str]:
    return [
        *(
            "pyuwsgi",
            "--http",
            f"127.0.0.1:{port}",
            "--http-keepalive",
            "--master",
            "--die-on-term",
        ),
        *("--need-app", "--disable-logging", "--worker-reload-mercy", "2"),
        *("--module", f"{APPS}:{target}()", *options),
    ]


SERVERS: dict[str, Callable[[str, int], list[str]]] = {
    "gevent": _gunicorn,
    # Patches when the application has been imported already.
    "gevent-late": lambda target, port: _gunicorn(target, port, "--preload"),
    "waitress": _waitress,
    "granian-wsgi": lambda target, port: _granian(
        target, port, "--interface", "wsgi", "--blocking-threads", "16", "--backpressure", "16"
    ),
    "granian-asgi": lambda target, port: _granian(f"{target}_asgi", port, "--interface", "asgi"),
    "uwsgi": lambda target, port: _uwsgi(target, port, "--threads", "16"),
    "uwsgi-gevent": lambda target, port: _uwsgi(
        target, port, "--gevent", "100", "--gevent-monkey-patch"
    ),
}


@pytest.fixture(
    scope="module", params=[f"{app}-{one}" for one in SERVERS for app in ("flask", "django")]
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of each framework under each server."""
    app, _, server = request.param.partition("-")
    port = free_port()
    module, *options = SERVERS[server](app, port)
    if module == "pyuwsgi" and importlib.util.find_spec("pyuwsgi") is None:
        pytest.skip("pyuwsgi has no wheel for this platform")
    # uWSGI is an extension module, which has no `-m`.
    start = ["-c", "from pyuwsgi import run; run()"] if module == "pyuwsgi" else ["-m", module]
    with running([sys.executable, *start, *options], port):
        yield f"http://127.0.0.1:{port}"


def run(function: Any) -> Any:
    async def limited() -> Any:
        with anyio.fail_after(30):
            return await function()

    return anyio.run(limited)


@pytest.mark.parametrize("tool", ["add", "add_async"])
def test_tools_are_called(url: str, mode: str, tool: str) -> None:
    async def session() -> Any:
        async with Client(f"{url}/mcp", mode=mode) as client:
            return [
                (await client.call_tool(tool, {"a": 1, "b": number})).content[0].text
                for number in range(3)
            ]

    assert run(session) == ["1", "2", "3"]
    assert httpx2.get(f"{url}/page").text == "page"


def test_a_coroutine_has_plain_work_done(url: str, mode: str) -> None:
    async def session() -> Any:
        async with Client(f"{url}/mcp", mode=mode) as client:
            return (await client.call_tool("nested", {})).content[0].text

    assert run(session) == "3"


@pytest.mark.parametrize("tool", ["speak", "speak_async"])
def test_what_a_tool_says_is_heard(url: str, mode: str, tool: str) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, text: str | None) -> None:
        heard.append(progress)

    async def session() -> Any:
        async with Client(f"{url}/mcp", mode=mode) as client:
            result = await client.call_tool(tool, {}, progress_callback=hear)
            return result.content[0].text

    assert run(session) == "spoken"
    assert heard == [0, 1, 2]


@pytest.mark.parametrize("tool", ["ask", "ask_async"])
def test_the_person_is_asked(url: str, mode: str, tool: str) -> None:
    async def answer(context: Any, params: Any) -> mcp_types.ElicitResult:
        return mcp_types.ElicitResult(action="accept", content={"name": "red"})

    async def session() -> Any:
        async with Client(f"{url}/mcp", mode=mode, elicitation_callback=answer) as client:
            return (await client.call_tool(tool, {})).content[0].text

    assert run(session) == "red"


@pytest.mark.parametrize("tool", ["same", "same_async"])
@pytest.mark.parametrize("accept", ["application/json", "application/json, text/event-stream"])
def test_a_call_has_what_the_framework_keeps_for_its_request(
    url: str, tool: str, accept: str
) -> None:
    params = {"name": tool, "arguments": {}, "_meta": {**meta(), "progressToken": 1}}
    headers, body = stateless("tools/call", params, accept=accept)
    for _ in range(2):
        response = httpx2.post(f"{url}/mcp", headers=headers, content=body, timeout=20)
        assert '"text":"true"' in response.text


numbers = iter(range(1, 1000))


@pytest.mark.parametrize("tool", ["hold", "hold_async"])
def test_others_are_served_while_a_tool_waits(url: str, tool: str) -> None:
    number = next(numbers)
    params = {
        "name": tool,
        "arguments": {"number": number},
        "_meta": {**meta(), "progressToken": 1},
    }
    headers, body = stateless("tools/call", params)
    ended: list[str] = []
    begun = threading.Event()

    def hold() -> None:
        with httpx2.stream(
            "POST", f"{url}/mcp", headers=headers, content=body, timeout=30
        ) as response:
            for line in response.iter_lines():
                begun.set()
                ended.append(line)

    holding = threading.Thread(target=hold)
    holding.start()
    assert begun.wait(20)
    assert httpx2.get(f"{url}/page", timeout=20).text == "page"
    headers, body = stateless("tools/call", {"name": "let_go", "arguments": {"number": number}})
    assert httpx2.post(f"{url}/mcp", headers=headers, content=body, timeout=20).status_code == 200
    holding.join(20)
    assert "let go" in "".join(ended)


def test_a_task_keeps_the_request_that_began_it(url: str) -> None:
    """uWSGI gives the environment of a request to the next one."""
    number = next(numbers)
    tasks = meta(capabilities={"extensions": {TASKS: {}}})

    def send(who: str, method: str, params: dict[str, Any]) -> Any:
        headers, body = stateless(method, {**params, "_meta": tasks})
        headers["x-who"] = who
        response = httpx2.post(f"{url}/mcp", headers=headers, content=body, timeout=20)
        return response.json()["result"]

    begun = send("alice", "tools/call", {"name": "later", "arguments": {"number": number}})
    send("mallory", "tools/call", {"name": "let_go", "arguments": {"number": number}})
    task = begun
    while task["status"] == "working":
        task = send("mallory", "tasks/get", {"taskId": begun["taskId"]})
    assert task["result"]["content"][0]["text"] == "alice"
