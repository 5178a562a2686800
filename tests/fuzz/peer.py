"""A client that sends bytes to a real server, and sees that it answers well and stays well."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from sample_projects.processes import free_port, running
from tests.fuzz.everything import ON_PURPOSE
from tests.fuzz.hosts import SERVERS, command
from tests.fuzz.strategies import SESSIONS, fill_in
from tests.requests import JSON_HEADERS, initialize, meta, stateless

WATCHDOG = 30.0
"""Seconds after which a call hangs. Nothing here takes one second: a busy machine may."""

MORE_THREADS = 48
"""How many threads pools may still start: 40 of AnyIO's, and some of ours."""

MORE_MEMORY = 48 * 1024
"""By how many KiB a server may grow over a test: allocators, caches and logs of streams."""

ALLOWED = {501, 503, 504, 505}
"""The statuses from 500 on that are no faults: 503 and 504 are documented; web servers themselves
answer 501 and 505 to transfer codings and versions of HTTP that they do not know."""

EXPECTED = (ON_PURPOSE, "NotFinite")
"""What stands in the exceptions of tools that are as they should be."""

_TRACES = re.compile(
    r"^(?P<indent> *)Traceback \(most recent call last\):\n"
    r"(?:(?P=indent) .*\n|\n)*"
    r"(?P=indent)(?P<name>\S.*)",
    re.MULTILINE,
)

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

TASKS = {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Vitals:
    """Of the processes of a server, from /proc."""

    pids: frozenset[int]
    threads: int
    memory: int


class Peer:
    """A running server, and what it has said that later requests need."""

    def __init__(
        self, host: str, port: int, pid: int, log: Path, tokens: Mapping[str, str]
    ) -> None:
        self.host = host
        self.port = port
        self.prefix = SERVERS[host][2]
        self.pid = pid
        self.known: dict[str, str] = dict(tokens)
        self.statuses: dict[int, int] = {}
        self.slowest = 0.0
        self._log = log
        self._read = 0
        self._own = {"authorization": tokens["token:good"]} if tokens else {}

    def again(self) -> Peer:
        """One more client of the same server."""
        other = copy(self)
        other.statuses = {}
        other.known = dict(self.known)
        return other

    def prepare(self) -> None:
        """Open a session of each revision, and begin the tasks."""
        self.open_sessions()
        for tool in ("wait", "background"):
            params = {"name": tool, "_meta": meta(capabilities=TASKS)}
            result = self.json(*stateless("tools/call", params))["result"]
            self.known[f"task:{tool}"] = result["taskId"]

    def open_sessions(self) -> None:
        for version, placeholder in SESSIONS.items():
            body = initialize(version, {"elicitation": {}, "sampling": {}, "roots": {}})
            answer = self.send("POST", "/mcp", {**JSON_HEADERS, **self._own}, body)
            assert answer is not None
            self.known[placeholder] = answer.headers["mcp-session-id"]

    def json(self, headers: Mapping[str, str], body: bytes) -> Any:
        answer = self.send("POST", "/mcp", {**headers, **self._own}, body)
        assert answer is not None
        return json.loads(answer.body)

    def message(
        self,
        method: str,
        headers: Mapping[str, str],
        body: Any,
        answers: Sequence[Any] = (),
        *,
        path: str = "/mcp",
    ) -> Answer | None:
        """Send bytes or a message with placeholders, and the right token, to the MCP endpoint.

        answers: to the questions that come before there is a result; without one more, the client
        leaves.
        """
        body = body if isinstance(body, bytes) else json.dumps(fill_in(body, self.known)).encode()
        whole = {"host": f"127.0.0.1:{self.port}", **JSON_HEADERS, **self._own, **headers}
        return self.send(method, path, fill_in(whole, self.known), body, answers)

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        answers: Sequence[Any] = (),
    ) -> Answer | None:
        """Send one request on a connection of its own; its answer, if the server gives one."""
        whole = {"host": f"127.0.0.1:{self.port}", **headers, "connection": "close"}
        if body or method in ("POST", "PUT", "PATCH"):
            whole.setdefault("content-length", str(len(body)))
        # What is no header at all is for the raw requests.
        lines = [f"{name}: {_CONTROLS.sub('?', value)}" for name, value in whole.items()]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
        answer = self.exchange([head.encode("latin-1", "replace") + body], method, answers)
        if method == "DELETE" and answer is not None and answer.status == 204:
            self.open_sessions()
        return answer

    def exchange(
        self,
        parts: Sequence[bytes],
        method: str = "POST",
        answers: Sequence[Any] = (),
        *,
        ending: str = "read",
    ) -> Answer | None:
        """Send pieces of a request and read an answer.

        ending: "read" waits for the answer, "shut" too, after it has closed its own side; "leave"
        closes at once.
        """
        started = time.monotonic()
        # Servers may close the connection as soon as they have seen enough.
        with self._connect() as connection, suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
            if ending == "shut":
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            if ending == "leave":
                return None
            answer = self._answer(connection, method, list(answers), started)
            self._check(answer)
            return answer
        return None

    def vitals(self) -> Vitals:
        pids = self._processes()
        threads = memory = 0
        for pid in pids:
            with suppress(FileNotFoundError):
                status = Path(f"/proc/{pid}/status").read_text()
                threads += int(re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)[0])
                memory += int(re.findall(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[0])
        return Vitals(frozenset(pids), threads, memory)

    def check(self, before: Vitals) -> None:
        """See that the server still works, and is as it was."""
        params = {"name": "typed", "arguments": {"days": 3}}
        result = self.json(*stateless("tools/call", params))["result"]
        assert result["structuredContent"] == {"city": "Oslo", "days": 3}
        faults = self.faults()
        assert not faults, "\n".join(faults)
        assert self._rests(), "the server works on and on"
        after = self.vitals()
        assert after.pids == before.pids, "a process of the server has ended"
        assert after.threads <= before.threads + MORE_THREADS
        assert after.memory <= before.memory + MORE_MEMORY

    def _rests(self) -> bool:
        """Whether there comes a moment at which it does not work; a busy machine has more."""
        for _ in range(50):
            before = self._worked()
            time.sleep(0.1)
            if self._worked() - before < 0.05:
                return True
        return False

    def _worked(self) -> float:
        """Seconds of processor time."""
        total = 0
        for pid in self._processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def faults(self) -> list[str]:
        """The exceptions in what the server has printed since the last time."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            printed = log.read().decode(errors="replace")
            self._read = log.tell()
        found: dict[str, str] = {}
        for trace in _TRACES.finditer(printed):
            if not any(word in trace["name"] for word in EXPECTED):
                found[trace["name"]] = trace[0][-3000:]
        return list(found.values())

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WATCHDOG)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _answer(
        self, connection: socket.socket, method: str, answers: list[Any], started: float
    ) -> Answer | None:
        response = HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = self._body(response, method, answers)
        except TimeoutError:
            raise AssertionError(f"no answer after {WATCHDOG:g} s") from None
        except (HTTPException, ValueError):
            # The server closed the connection instead, or in the middle.
            return None
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, body, time.monotonic() - started)

    def _body(self, response: HTTPResponse, method: str, answers: list[Any]) -> bytes:
        if response.headers.get_content_type() != "text/event-stream":
            return response.read()
        lines: list[bytes] = []
        deadline = time.monotonic() + WATCHDOG
        # The stream of a session, or of a subscription, has no end.
        while method == "POST" and (line := response.readline()):
            lines.append(line)
            if time.monotonic() > deadline:
                raise TimeoutError
            said = json.loads(line[6:]) if line.startswith(b"data: {") else {}
            if said.get("method") == "notifications/subscriptions/acknowledged":
                break
            if "method" in said and "id" in said:
                if not answers:
                    break
                self._answer_question(said["id"], answers.pop(0))
        return b"".join(lines)

    def _answer_question(self, id: Any, result: Any) -> None:
        """In a session of the newest kind, whichever the question is of."""
        body = json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode()
        for placeholder in SESSIONS.values():
            own = {"mcp-session-id": self.known[placeholder], **JSON_HEADERS, **self._own}
            self.send("POST", "/mcp", own, body)

    def _check(self, answer: Answer | None) -> None:
        assert self._is_alive(), "the server has ended"
        if answer is None:
            return
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        self.slowest = max(self.slowest, answer.seconds)
        assert answer.status < 500 or answer.status in ALLOWED or _on_purpose(answer), answer
        assert b"Traceback (most recent call last)" not in answer.body
        assert b'File \\"' not in answer.body
        assert b'File "' not in answer.body

    def _is_alive(self) -> bool:
        with suppress(OSError):
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state != "Z"
        return False

    def _processes(self) -> list[int]:
        """The server and its children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]


def _on_purpose(answer: Answer) -> bool:
    """Whether it is that of a tool that always fails, or of NaN, over plain HTTP."""
    return answer.body.startswith(
        (
            *(b'{"detail":"The tool \'fail\' failed', b'{"detail":"The tool \'fail_async\' failed'),
            b'{"detail":"The tool \'numbers\' failed',
        )
    )


@contextmanager
def serving(
    host: str, folder: Path, issuer: str | None, tokens: Mapping[str, str]
) -> Iterator[Peer]:
    """A server that runs until the block ends. issuer: of the tokens that it asks for."""
    port = free_port()
    environment = {**os.environ, "DATABASE": str(folder / "database.sqlite3")}
    if issuer is not None:
        environment["ISSUER"] = issuer
    log = folder / "log"
    with running(command(host, port), port, environment=environment, log=log) as process:
        peer = Peer(host, port, process.pid, log, tokens)
        peer.prepare()
        yield peer
