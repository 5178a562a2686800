"""Thousands of mixed calls, a tenth of whose clients leave in the middle: nothing stays behind."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from http.client import HTTPConnection
from itertools import count
from typing import Any

import pytest

from sample_projects import processes
from sample_projects.processes import free_port, running
from tests.requests import CAPABILITIES, initialize, message, meta, session_headers, stateless

CALLS = int(os.environ.get("SOAK_CALLS", "3000"))
CLIENTS = 12
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}

SERVERS = {
    "asgi": [
        *("uvicorn", "--factory", "tests.integrations.soak_apps:asgi", "--log-level", "warning"),
        "--port",
    ],
    "wsgi": [
        *("gunicorn", "tests.integrations.soak_apps:wsgi()", "--worker-class", "gthread"),
        *("--threads", "16", "--log-level", "warning", "--no-control-socket"),
        "--bind",
    ],
}


class Visitor:
    """A client that makes all kinds of calls, and sometimes leaves before the answer is there."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connect()
        self._session: dict[str, str] = {}

    def _connect(self) -> None:
        self._connection = HTTPConnection("127.0.0.1", self._port, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def call(self, number: int) -> None:
        kind = number % 20
        if kind in (7, 13):
            self.leave(number)
        elif kind in (0, 1, 2, 3):
            tool = ("add", "add_async")[kind % 2]
            assert self.tool(tool, a=number, b=1)["structuredContent"]["result"] == number + 1
        elif kind == 4:
            assert self.tool("fail")["isError"] is True
        elif kind == 5:
            assert len(self.stateless("tools/list")["tools"]) == 8
        elif kind == 6:
            uri = f"soak://{number}"
            read = self.stateless("resources/read", uri=uri)
            assert read["contents"][0]["text"] == str(number) * 100
        elif kind == 8:
            got = self.stateless("prompts/get", name="prompt", arguments={"about": "x"})
            assert got["messages"][0]["content"]["text"] == "x"
        elif kind in (9, 10):
            tool = ("talk", "talk_async")[kind % 2]
            assert self.tool(tool, token=number)["content"][0]["text"] == "said"
        elif kind == 11:
            self.ask()
        elif kind == 12:
            task = self.tool("later", capabilities=TASKS)
            assert self.stateless("tasks/get", capabilities=TASKS, taskId=task["taskId"])
        elif kind == 14:
            self.open_session()
        elif kind == 19 and self._session:
            assert self.exchange("DELETE", self._session, b"")[0] == 204
            self._session = {}
        elif self._session:
            params = {"name": "talk" if kind == 15 else "add", "arguments": {}}
            if kind == 15:
                params["_meta"] = {"progressToken": number}
            else:
                params["arguments"] = {"a": 1, "b": 2}
            body = json.dumps(message("tools/call", params)).encode()
            result = self.exchange("POST", self._session, body)[1]["result"]
            assert result["content"][0]["text"] == ("said" if kind == 15 else "3")

    def ask(self) -> None:
        capabilities = {"elicitation": {}}
        asked = self.tool("ask", capabilities=capabilities)
        [key] = asked["inputRequests"]
        answers = {key: {"action": "accept", "content": {"name": "Ada"}}}
        done = self.stateless(
            "tools/call",
            capabilities=capabilities,
            name="ask",
            arguments={},
            requestState=asked["requestState"],
            inputResponses=answers,
        )
        assert done["content"][0]["text"] == "Ada"

    def open_session(self) -> None:
        headers = {"content-type": "application/json", "accept": "application/json"}
        self._connection.request("POST", "/mcp", initialize(), headers)
        response = self._connection.getresponse()
        response.read()
        self._session = session_headers(response.headers["mcp-session-id"])

    def leave(self, number: int) -> None:
        """Send a request on a connection of its own, and close that at one moment or another."""
        tool = ("talk", "talk_async", "add", "ask")[number // 20 % 4]
        if number % 3 == 0 and self._session:
            params: dict[str, Any] = {"name": tool, "arguments": {}}
            params["_meta"] = {"progressToken": 1}
            headers, body = self._session, json.dumps(message("tools/call", params)).encode()
        else:
            own = {"_meta": {**meta(), "progressToken": 1}, "name": tool, "arguments": {}}
            headers, body = stateless("tools/call", own)
        lines = [f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall("".join([*lines, "\r\n"]).encode())
            if number % 5 == 0:
                # Gone within the body.
                connection.sendall(body[:20])
                return
            connection.sendall(body)
            if number % 2:
                connection.recv(100)

    def tool(self, name: str, *, capabilities: Any = None, token: Any = None, **own: Any) -> Any:
        return self.stateless(
            "tools/call", capabilities=capabilities, token=token, name=name, arguments=own
        )

    def stateless(
        self, method: str, *, capabilities: Any = None, token: Any = None, **params: Any
    ) -> Any:
        own = {**meta(), CAPABILITIES: capabilities or {}}
        if token is not None:
            own["progressToken"] = token
        headers, body = stateless(method, {"_meta": own, **params})
        status, answer = self.exchange("POST", headers, body)
        assert status == 200, answer
        return answer["result"]

    def exchange(self, method: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """The status, and the last message of the response."""
        self._connection.request(method, "/mcp", body, headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.headers.get("content-type") == "text/event-stream":
            text = [line for line in text.splitlines() if line.startswith("data: {")][-1][6:]
        return response.status, json.loads(text) if text else None


def visit(port: int, numbers: Any, problems: list[BaseException]) -> None:
    visitor = Visitor(port)
    try:
        for number in numbers:
            visitor.call(number)
    except BaseException as problem:
        problems.append(problem)
    finally:
        visitor.close()


def make_calls(port: int, most: int) -> None:
    numbers = count()
    taken = iter(lambda: next(numbers), most)
    lock = threading.Lock()

    def shared() -> Any:
        while True:
            with lock:
                number = next(taken, None)
            if number is None:
                return
            yield number

    problems: list[BaseException] = []
    threads = [
        threading.Thread(target=visit, args=(port, shared(), problems)) for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def vitals(port: int) -> dict[str, int]:
    visitor = Visitor(port)
    try:
        found: dict[str, int] = visitor.tool("vitals")["structuredContent"]
        return found
    finally:
        visitor.close()


def settled(port: int, before: dict[str, int] | None = None) -> dict[str, int]:
    """The vital signs, once they are those of before; what they are if that never comes."""
    deadline = time.monotonic() + 60
    while True:
        time.sleep(0.5)
        now = vitals(port)
        same = before and all(now[one] <= before[one] for one in ("threads", "tasks", "files"))
        if same or time.monotonic() > deadline:
            return now


@pytest.mark.parametrize("kind", SERVERS)
def test_nothing_stays_behind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The memory of a process that was forked is that of another, in pieces.
    monkeypatch.setattr(processes, "start_server", processes.start)
    port = free_port()
    address = str(port) if kind == "asgi" else f"127.0.0.1:{port}"
    with running([sys.executable, "-m", *SERVERS[kind], address], port):
        # Pools, caches and allocators fill up first.
        make_calls(port, CALLS // 5)
        time.sleep(3)
        before = vitals(port)
        make_calls(port, CALLS)
        after = settled(port, before)
    assert after["threads"] <= before["threads"]
    assert after["pool"] <= 40
    assert after["tasks"] <= before["tasks"]
    assert after["files"] <= before["files"]
    assert after["memory"] < before["memory"] + 4096, (before, after)
