"""Two members, many clients at once, against a ledger in any host; what stays behind."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.requests import initialize, message, meta, session_headers, stateless

MEMBERS = ("ada", "bob")
CLIENTS = 21
"""Of each member: more together than the threads that a pool may have grown by, and no divisor of
the mix of ten kinds of calls, so that each client makes calls of every kind."""

CALLS = int(os.environ.get("LEDGER_CALLS", "210"))
"""How many calls each member makes, on all their clients together."""

LogIn = Callable[[HTTPConnection, str, int], tuple[str, dict[str, str]]]
"""How a client of a member, by its number, gets the path of its server and its credentials."""


class Served:
    """A running server: where it is, and what it holds."""

    def __init__(self, port: int, folder: Path, pid: int) -> None:
        self.port = port
        self.folder = folder
        self._pid = pid

    def connections(self) -> int:
        """How many descriptors of its database files are open."""
        return sum(
            ".sqlite3" in os.path.realpath(link)
            for pid in self._processes()
            for link in Path(f"/proc/{pid}/fd").glob("*")
            if link.is_symlink()
        )

    def number(self, path: str) -> int:
        """The number that a page of the server tells."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path)
            return int(connection.getresponse().read())

    def threads(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in self._processes())

    def rows(self, database: str, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / f"{database}.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    def _processes(self) -> list[int]:
        """The server and its children."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [self._pid, *map(int, children)]


class Visitor:
    """One client of a member: it has logged in, or has a token, and speaks one kind of revision."""

    def __init__(self, port: int, member: str, number: int, log_in: LogIn) -> None:
        self.member = member
        self.written: list[int] = []
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._session: dict[str, str] | None = None
        try:
            self._path, self._own = log_in(self._connection, member, number)
            if number % 4 > 1:
                self._session = self._open_session()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def call(self, number: int) -> None:
        """One call of the mix; whatever is wrong with its answer is an error."""
        email = f"{self.member}@example.org"
        kind = number % 10
        if kind in (0, 1):
            assert self.tool(("whoami", "whoami_async")[kind])["content"][0]["text"] == email
        elif kind in (2, 3):
            result = self.tool(("balance", "balance_async")[kind - 2])
            assert not result.get("isError"), result
        elif kind in (4, 5, 6):
            result = self.tool(("deposit", "deposit", "deposit_aloud")[kind - 4], amount=number)
            assert not result.get("isError"), result
            self.written.append(number)
        else:
            tool = ("deposit_and_fail", "deposit_aloud_and_fail", "deposit_and_fail")[kind - 7]
            crash = {"crash": True} if kind == 9 else {}
            result = self.tool(tool, amount=number, **crash)
            assert result["isError"] is True, result
            words = "No" if kind != 9 else "The tool 'deposit_and_fail' failed"
            assert result["content"][0]["text"].startswith(words), result

    def tool(self, name: str, **arguments: Any) -> Any:
        params = {"name": name, "arguments": arguments}
        own = {"progressToken": 1}
        if self._session is not None:
            headers = self._session
            body = json.dumps(message("tools/call", {**params, "_meta": own})).encode()
        else:
            headers, body = stateless("tools/call", {**params, "_meta": {**meta(), **own}})
        return self._send(headers, body)[1]["result"]

    def _send(self, headers: dict[str, str], body: bytes) -> tuple[Any, Any]:
        self._connection.request("POST", self._path, body, {**headers, **self._own})
        response = self._connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, f"{response.status} {text[:200]}"
        if response.headers["content-type"] == "text/event-stream":
            text = [line for line in text.splitlines() if line.startswith("data: {")][-1][6:]
        return response.headers, json.loads(text)

    def _open_session(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "application/json"}
        answered, _ = self._send(headers, initialize())
        return session_headers(answered["mcp-session-id"])


def make_calls(served: Served, most: int, log_in: LogIn) -> Counter[str]:
    """Let all clients of both members call at once; what each member has written."""
    written: Counter[str] = Counter()
    problems: list[BaseException] = []
    lock = threading.Lock()

    def use(member: str, client: int) -> None:
        try:
            visitor = Visitor(served.port, member, client, log_in)
            try:
                for number in range(client, most, CLIENTS):
                    visitor.call(number)
            finally:
                visitor.close()
            with lock:
                written[member] += sum(visitor.written)
                written[f"{member}-rows"] += len(visitor.written)
        except BaseException as problem:
            problems.append(problem)

    threads = [
        threading.Thread(target=use, args=(member, client))
        for member in MEMBERS
        for client in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return written


def settled(look: Callable[[], int], most: int) -> int:
    """A number, once it is at most `most`; what it is if that does not come."""
    deadline = time.monotonic() + 60
    while (now := look()) > most and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


Entries = Callable[["Served", str, int], list[tuple[int, int]]]
"""Count and sum of the entries of a member (name, number), once for each database."""


def check(
    served: Served, log_in: LogIn, entries: Entries, connections: Callable[[Served], int]
) -> None:
    """Let all call, and see that no write is lost or half, nor anything left behind.

    connections: how many connections to the database are in use, of which none may stay.
    """
    before = make_calls(served, CLIENTS * 2, log_in)
    threads = served.threads()
    written = before + make_calls(served, CALLS, log_in)
    for number, member in enumerate(MEMBERS, start=1):
        for count, total in entries(served, member, number):
            assert (count, total) == (written[f"{member}-rows"], written[member])
    assert settled(lambda: connections(served), 0) == 0
    # Pools of threads may have grown, up to their bounds.
    most = threads + 40
    assert settled(served.threads, most) <= most


_GUNICORN = (
    "--no-control-socket",
    "--log-level",
    "warning",
    "--keep-alive",
    "30",
    "--graceful-timeout",
    "1",
)


def command(server: str, target: str, port: int) -> list[str]:
    """The command line of a web server for "module:factory"."""
    if server in ("sync", "gthread"):
        threads = ("--threads", "16") if server == "gthread" else ()
        words = ("gunicorn", f"{target}()", "--bind", f"127.0.0.1:{port}", "--worker-class", server)
        return [sys.executable, "-m", *words, *threads, *_GUNICORN]
    if server == "hypercorn":
        words = ("hypercorn", f"{target}()", "--bind", f"127.0.0.1:{port}")
        return [sys.executable, "-m", *words]
    words = ("uvicorn", "--factory", target, "--port", str(port), "--log-level", "warning")
    return [sys.executable, "-m", *words]
