"""Several tenants at once: no call sees the rows, the rights or the answers of another tenant's,
wherever its code runs, and no connection stays open."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import PYTHONPATH, ROOT, free_port, running
from tests.load import Served, command
from tests.requests import meta, stateless

PROJECT = "tests.mcp_mount_django.tenants.project"
CLIENTS = 16
ROUNDS = int(os.environ.get("TENANTS_ROUNDS", "1"))
TENANTS = {"acme": "de", "other": "en"}
KNOWS_TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}

TOOLS = (
    "plain",
    "aloud",
    "coroutine",
    "coroutine_aloud",
    "plain_within",
    "aloud_within",
    "coroutine_within",
    "there_and_back",
    "guarded_within",
    "checked",
)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database as it is before the first call."""
    folder = tmp_path_factory.mktemp("databases")
    environment = {"TENANTS_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    make = f"from {PROJECT} import make_database; make_database()"
    subprocess.run([sys.executable, "-c", make], cwd=ROOT, env=environment, check=True, timeout=300)
    return folder


@pytest.fixture(
    scope="module",
    params=[
        ("gthread", {}),
        ("gthread", {"TENANTS_MIDDLEWARE": "async", "TENANTS_ATOMIC": "1"}),
        ("uvicorn", {"TENANTS_ATOMIC": "1"}),
        ("uvicorn", {"TENANTS_MIDDLEWARE": "async"}),
    ],
    ids=["wsgi", "wsgi-async-middleware-atomic", "asgi-atomic", "asgi-async-middleware"],
)
def served(
    request: pytest.FixtureRequest, databases: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The project under a server, with a database of its own."""
    server, options = request.param
    folder = shutil.copytree(databases, tmp_path_factory.mktemp("tenants") / "own")
    environment = {"TENANTS_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH, **options}
    port = free_port()
    kind = "wsgi" if server == "gthread" else "asgi"
    words = command(server, f"{PROJECT}:{kind}", port)
    with running(words, port, environment=environment, log=folder / "log") as process:
        yield Served(port, folder, process.pid)


class Tenant:
    """A client of one tenant."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._own = {"x-tenant": name, "accept-language": TENANTS[name]}

    def close(self) -> None:
        self._connection.close()

    @property
    def expected(self) -> str:
        return f"{self.name} {TENANTS[self.name]}"

    def ask(self, method: str, path: str = "/mcp", **params: Any) -> Any:
        own = {**meta(capabilities=KNOWS_TASKS), "progressToken": 1}
        headers, body = stateless(method, {**params, "_meta": own})
        answer = self.post(path, headers, body)
        return answer.get("result", answer)

    def post(self, path: str, headers: dict[str, str], body: bytes) -> Any:
        self._connection.request("POST", path, body, {**headers, **self._own})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.headers["content-type"] == "text/event-stream":
            text = [line for line in text.splitlines() if line.startswith("data: {")][-1][6:]
        return json.loads(text)

    def tool(self, name: str) -> str:
        result = self.ask("tools/call", name=name, arguments={})
        return str(result["content"][0]["text"] if "content" in result else result)

    def over_http(self, name: str) -> str:
        return str(self.post(f"/mcp/tools/{name}", {"content-type": "application/json"}, b"{}"))

    def task(self, name: str) -> str:
        task = self.ask("tools/call", name=name, arguments={})
        deadline = time.monotonic() + 60
        while True:
            state = self.ask("tasks/get", taskId=task["taskId"])
            if state["status"] != "working":
                return str(state["result"]["content"][0]["text"])
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def wrong(self) -> list[str]:
        """What was not as it should be, of every kind of call."""
        answers = {name: self.tool(name) for name in TOOLS}
        answers |= {f"POST {name}": self.over_http(name) for name in ("plain", "coroutine")}
        answers |= {f"POST {name}": self.over_http(name) for name in ("plain_within", "aloud")}
        for uri in ("note://plain", "note://coroutine"):
            answers[uri] = self.ask("resources/read", uri=uri)["contents"][0]["text"]
        for name in ("prompt_plain", "prompt_coroutine"):
            message = self.ask("prompts/get", name=name, arguments={})["messages"][0]
            answers[name] = message["content"]["text"]
        reference = {"type": "ref/prompt", "name": "prompt_plain"}
        argument = {"name": "word", "value": ""}
        completed = self.ask("completion/complete", ref=reference, argument=argument)
        answers["completion"] = completed["completion"]["values"][0]
        answers |= {name: self.task(name) for name in ("task_plain", "task_coroutine")}
        if self.name == "acme":
            answers |= {name: self.tool(name) for name in ("guarded", "guarded_coroutine")}
        else:
            answers["guarded_within"] = answers["guarded_within"].replace("refused ", "", 1)
            for name in ("guarded", "guarded_coroutine"):
                answers[name] = self.expected if "Unknown tool" in self.tool(name) else "let in"
        return [
            f"{self.name}: {kind}: {answer}"
            for kind, answer in answers.items()
            if self.expected not in answer or "+" in answer or "/ " in answer
        ]


def test_no_call_sees_what_is_another_tenants(served: Served) -> None:
    wrong: list[str] = []

    def use(number: int) -> None:
        tenant = Tenant(served.port, sorted(TENANTS)[number % 2])
        try:
            for _ in range(ROUNDS):
                wrong.extend(tenant.wrong())
        except BaseException as error:
            wrong.append(f"{tenant.name}: {error!r}")
            raise
        finally:
            tenant.close()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(wrong)) == []
    with closing(sqlite3.connect(served.folder / "tenants.sqlite3")) as database:
        for name in (*TENANTS, "public"):
            rows = database.execute(f"SELECT text FROM {name}_tenants_entry").fetchall()
            assert {text for (text,) in rows} == ({name} if name != "public" else set())


def test_no_connection_stays_open(served: Served) -> None:
    tenant = Tenant(served.port, "acme")
    try:
        for name in TOOLS:
            assert tenant.expected in tenant.tool(name)
    finally:
        tenant.close()
    deadline = time.monotonic() + 20
    while served.connections() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert served.connections() == 0


@pytest.mark.parametrize("tool", ["task_plain", "task_coroutine"])
def test_a_task_that_would_run_without_its_request_is_refused(served: Served, tool: str) -> None:
    tenant = Tenant(served.port, "acme")
    try:
        answer = tenant.ask("tools/call", "/refusing/mcp", name=tool, arguments={})
    finally:
        tenant.close()
    assert answer["error"]["message"] == ("This server runs no tasks: it has no task_context")
    log = Path(served.folder / "log").read_text()
    assert f"The task '{tool}' was refused" in log
    assert "set TASK_CONTEXT in MCP_MOUNT" in log
