"""Both rows or none: whatever happens between the two writes of a tool, on real web servers."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import Together, free_port, running
from tests.integrations import rows_apps
from tests.requests import stateless

BOTH, NONE = ["a", "b"], list[str]()
UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "--log-level", "warning"]
GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "8"),
    *("--log-level", "warning"),
]
APPS = rows_apps.__name__
SERVERS: dict[str, Callable[[str], list[str]]] = {
    "fastapi": lambda port: [*UVICORN, f"{APPS}:fastapi", "--port", port],
    "flask": lambda port: [*GUNICORN, f"{APPS}:flask()", "--bind", f"127.0.0.1:{port}"],
    "django_wsgi": lambda port: [*GUNICORN, f"{APPS}:django_wsgi()", "--bind", f"127.0.0.1:{port}"],
    "django_asgi": lambda port: [*UVICORN, f"{APPS}:django_asgi", "--port", port],
}
SEES_WHO_LEAVES = ("fastapi", "django_asgi")


class Host:
    """A running host, and the folder in which its tools tell what they do."""

    def __init__(self, name: str, port: int, folder: Path) -> None:
        self.name = name
        self.port = port
        self.folder = folder
        self._count = 0

    def key(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def send(self, face: str, tool: str, arguments: Any) -> http.client.HTTPConnection:
        """Send a call, over MCP or as plain HTTP; its answer is not waited for.

        face: "http", or where MCP is.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        if face != "http":
            headers, body = stateless("tools/call", {"name": tool, "arguments": arguments})
            connection.request("POST", f"/{face}", body, headers)
        else:
            headers, body = {"content-type": "application/json"}, json.dumps(arguments).encode()
            connection.request("POST", f"/mcp/tools/{tool}", body, headers)
        return connection

    def call(self, face: str, tool: str, **arguments: Any) -> str:
        connection = self.send(face, tool, arguments)
        try:
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def wait(self, key: str, what: str) -> None:
        deadline = time.monotonic() + 10
        while not (self.folder / f"{key}.{what}").exists():
            assert time.monotonic() < deadline, f"{key} has not {what}"
            time.sleep(0.005)

    def release(self, key: str) -> None:
        (self.folder / f"{key}.go").touch()

    def rows(self, key: str) -> list[str]:
        """The rows that are there when the tool and all around it have ended."""
        self.wait(key, "ended")
        # It writes, so its turn comes when all that has written before has committed or not; and
        # the process still answers.
        assert "touched" in self.call("mcp", "touch")
        return rows_apps.rows(key)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Host]]:
    """Starts a host when it is first asked for."""
    known: dict[str, Host] = {}
    with Together() as stack, pytest.MonkeyPatch.context() as patch:

        def start(name: str) -> Host:
            if name not in known:
                folder, port = tmp_path_factory.mktemp(name), free_port()
                patch.setattr(rows_apps, "DATABASE", folder / "rows.sqlite3")
                rows_apps.create()
                environment = {"ROWS_FOLDER": str(folder)}
                stack.enter_context(
                    running(SERVERS[name](str(port)), port, environment=environment)
                )
                known[name] = Host(name, port, folder)
            patch.setattr(rows_apps, "DATABASE", known[name].folder / "rows.sqlite3")
            return known[name]

        yield start


@pytest.fixture(params=list(SERVERS))
def host(request: pytest.FixtureRequest, hosts: Callable[[str], Host]) -> Host:
    return hosts(request.param)


@pytest.fixture(params=["mcp", "http"])
def face(request: pytest.FixtureRequest) -> str:
    face: str = request.param
    return face


def test_a_client_that_leaves_a_plain_tool_drops_its_answer_and_not_its_work(
    host: Host, face: str
) -> None:
    key = host.key()
    connection = host.send(face, "plain", {"key": key})
    host.wait(key, "began")
    connection.close()
    if host.name in SEES_WHO_LEAVES:
        host.wait(key, "left")
    host.release(key)
    assert host.rows(key) == BOTH


def test_a_client_that_leaves_a_coroutine(host: Host, face: str) -> None:
    key = host.key()
    connection = host.send(face, "coroutine", {"key": key})
    host.wait(key, "began")
    connection.close()
    if host.name in SEES_WHO_LEAVES or face == "http":
        # It is cancelled where it awaits, and what stands around it sees that. Under WSGI, plain
        # HTTP looks at the connection now and then.
        assert host.rows(key) == NONE
    else:
        host.release(key)
        assert host.rows(key) == BOTH


def test_a_plain_tool_that_takes_too_long(host: Host, face: str) -> None:
    key = host.key()
    answer = host.call(face, "plain_late", key=key, seconds=2 * rows_apps.LATE_SECONDS)
    assert "took longer than 0.3 seconds" in answer
    # Flask has no transaction around a call: what a view commits itself is committed.
    assert host.rows(key) == (BOTH if host.name == "flask" else NONE)


def test_a_coroutine_that_takes_too_long(host: Host, face: str) -> None:
    key = host.key()
    answer = host.call(face, "coroutine_late", key=key, seconds=2 * rows_apps.LATE_SECONDS)
    assert "took longer than 0.3 seconds and was cancelled" in answer
    assert host.rows(key) == NONE


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize(
    ("fails", "words"),
    [("refused", "This is refused"), ("mistyped", "failed"), ("large", "that may be sent")],
)
def test_a_result_that_is_refused(host: Host, face: str, kind: str, fails: str, words: str) -> None:
    key = host.key()
    host.release(key)
    assert words in host.call(face, f"{kind}_{fails}", key=key)
    # Flask has no transaction around a call.
    assert host.rows(key) == (BOTH if host.name == "flask" else NONE)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_hooks_that_fail_fail_no_call(host: Host, face: str, kind: str) -> None:
    """Each server here has an audit that raises after each call."""
    key = host.key()
    host.release(key)
    assert "written" in host.call(face, kind, key=key)
    assert host.rows(key) == BOTH


@pytest.mark.parametrize("endpoint", ["endpoint", "coroutine_endpoint"])
def test_an_exposed_endpoint_whose_client_leaves_ends_as_over_http(
    hosts: Callable[[str], Host], endpoint: str
) -> None:
    host = hosts("fastapi")
    key = host.key()
    connection = host.send("exposed", endpoint, {"key": key})
    host.wait(key, "began")
    connection.close()
    host.release(key)
    assert host.rows(key) == BOTH


@pytest.mark.parametrize("endpoint", ["endpoint", "coroutine_endpoint"])
def test_the_client_of_an_exposed_endpoint_that_takes_too_long_is_answered_at_once(
    hosts: Callable[[str], Host], endpoint: str
) -> None:
    host = hosts("fastapi")
    key = host.key()
    # It waits until it is released, so this is told before it has ended.
    answer = host.call("exposed_late", endpoint, key=key)
    assert "took longer than 0.3 seconds. It is not stopped: it may still be running" in answer
    assert not (host.folder / f"{key}.ended").exists()
    host.release(key)
    assert host.rows(key) == BOTH


@pytest.mark.parametrize("server", ["exposed", "exposed_late"])
def test_the_answer_of_an_exposed_endpoint_comes_before_its_background_tasks_have_ended(
    hosts: Callable[[str], Host], server: str
) -> None:
    host = hosts("fastapi")
    key = host.key()
    assert "accepted" in host.call(server, "endpoint_with_a_job", key=key)
    host.wait(key, "began")
    if server == "exposed_late":
        # Its time is over, and nobody minds.
        time.sleep(rows_apps.LATE_SECONDS)
    assert not (host.folder / f"{key}.ended").exists()
    host.release(key)
    host.wait(key, "ended")


@pytest.mark.parametrize("name", SEES_WHO_LEAVES)
def test_a_server_that_is_stopped_between_the_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setattr(rows_apps, "DATABASE", tmp_path / "rows.sqlite3")
    rows_apps.create()
    words, variables = SERVERS[name](str(port)), {"ROWS_FOLDER": str(tmp_path)}
    with running(words, port, environment=variables) as process:
        host = Host(name, port, tmp_path)
        connection = host.send("mcp", "plain", {"key": "key"})
        host.wait("key", "began")
        connection.close()
        host.wait("key", "left")
        process.terminate()
        with suppress(ConnectionError):
            # Until nothing listens any more: the server is on its way out.
            while True:
                socket.create_connection(("127.0.0.1", port), 5).close()
        host.release("key")
        process.wait(30)
    assert rows_apps.rows("key") in (BOTH, NONE)
