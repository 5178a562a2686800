"""The ledger under the web servers that people deploy: two members, many clients at once."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import ROOT, free_port, running
from tests.requests import initialize, legacy, message, meta, modern

APPLICATIONS = "tests.mcp_mount_django.ledger.applications"
MEMBERS = ("ada", "bob")
CLIENTS = 32
CALLS = int(os.environ.get("LEDGER_CALLS", "1000"))
"""How many calls each member makes, on all their clients together."""

_GUNICORN = ("--no-control-socket", "--log-level", "warning", "--keep-alive", "30")
SERVERS: dict[str, Callable[[int], list[str]]] = {
    "sync": lambda port: [
        *("gunicorn", f"{APPLICATIONS}:wsgi()", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "sync", *_GUNICORN),
    ],
    "gthread": lambda port: [
        *("gunicorn", f"{APPLICATIONS}:wsgi()", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--threads", "16", *_GUNICORN),
    ],
    "uvicorn": lambda port: [
        *("uvicorn", "--factory", f"{APPLICATIONS}:asgi", "--port", str(port)),
        *("--log-level", "warning"),
    ],
    "hypercorn": lambda port: [
        *("hypercorn", f"{APPLICATIONS}:asgi()", "--bind", f"127.0.0.1:{port}"),
    ],
    "daphne": lambda port: [
        *("daphne", "-p", str(port), "-v", "0", "tests.mcp_mount_django.ledger.daphne_app:app"),
    ],
}


@pytest.fixture(scope="module", params=SERVERS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The ledger under a server, with databases and two members of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    environment = {"LEDGER_FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", APPLICATIONS, *MEMBERS]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, timeout=60)
    port = free_port()
    words = [sys.executable, "-m", *SERVERS[request.param](port)]
    with running(words, port, environment=environment) as process:
        yield Served(request.param, port, folder, process.pid)


class Served:
    """A running server: where it is, and what it holds."""

    def __init__(self, name: str, port: int, folder: Path, pid: int) -> None:
        self.name = name
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

    def threads(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in self._processes())

    def rows(self, database: str, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / f"{database}.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    def _processes(self) -> list[int]:
        """The server and its children."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [self._pid, *map(int, children)]


class Browser:
    """One client of a member: it has logged in, or has a token, and speaks one of the eras."""

    def __init__(self, port: int, member: str, number: int) -> None:
        self.member = member
        self.written: list[int] = []
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._path = ("/mcp", "/token/mcp")[number % 2]
        self._session: dict[str, str] | None = None
        try:
            self._own = self._log_in() if number % 2 == 0 else self._token()
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
            headers, body = modern("tools/call", {**params, "_meta": {**meta(), **own}})
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
        return legacy(answered["mcp-session-id"])

    def _token(self) -> dict[str, str]:
        return {"authorization": f"Token token-of-{self.member}"}

    def _log_in(self) -> dict[str, str]:
        """Log in by the project's own form."""
        self._connection.request("GET", "/login/")
        response = self._connection.getresponse()
        page = response.read().decode()
        assert response.status == 200, f"{response.status} {page[:200]}"
        cookie = response.headers["set-cookie"].partition(";")[0]
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
        form = f"csrfmiddlewaretoken={token}&username={self.member}@example.org&password=secret"
        headers = {"content-type": "application/x-www-form-urlencoded", "cookie": cookie}
        self._connection.request("POST", "/login/", form, headers)
        response = self._connection.getresponse()
        response.read()
        cookies = [one.partition(";")[0] for one in response.headers.get_all("set-cookie") or ()]
        assert response.status == 302, response.status
        new = next(one for one in cookies if one.startswith("csrftoken="))
        return {"cookie": "; ".join(cookies), "x-csrftoken": new.partition("=")[2]}


def make_calls(served: Served, most: int) -> Counter[str]:
    """Let all clients of both members call at once; what each member has written."""
    written: Counter[str] = Counter()
    problems: list[BaseException] = []
    lock = threading.Lock()

    def use(member: str, client: int) -> None:
        try:
            browser = Browser(served.port, member, client)
            try:
                for number in range(client, most, CLIENTS):
                    browser.call(number)
            finally:
                browser.close()
            with lock:
                written[member] += sum(browser.written)
                written[f"{member}-rows"] += len(browser.written)
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
    deadline = time.monotonic() + 10
    while (now := look()) > most and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


def test_members_share_a_server_and_nothing_else(served: Served) -> None:
    before = make_calls(served, CLIENTS * 4)
    time.sleep(1)
    threads = served.threads()
    written = before + make_calls(served, CALLS)
    for number, member in enumerate(MEMBERS, start=1):
        # No write is lost, none is half, none is another member's.
        [(count, total)] = served.rows(
            "default",
            f"SELECT count(*), sum(amount) FROM ledger_entry WHERE member_id = {number}",
        )
        assert (count, total) == (written[f"{member}-rows"], written[member])
        [(audited,)] = served.rows(
            "audit", f"SELECT count(*) FROM ledger_auditentry WHERE member = {number}"
        )
        assert audited == written[f"{member}-rows"]
    assert settled(served.connections, 0) == 0
    # Pools of threads may have grown, up to their bounds.
    assert settled(served.threads, threads) <= threads + 40


@pytest.mark.parametrize(
    "tool", ["manners", "manners_aloud", "manners_async", "manners_async_aloud"]
)
def test_a_call_keeps_language_and_time_zone(served: Served, tool: str) -> None:
    browser = Browser(served.port, "ada", 1)
    browser._path = "/mcp"
    browser._own = {"accept-language": "de", "x-time-zone": "Asia/Tokyo"}
    try:
        text = browser.tool(tool)["content"][0]["text"]
    finally:
        browser.close()
    assert text == "de Montag Asia/Tokyo"


def test_the_routes_of_a_server_know_its_users(served: Served) -> None:
    """A server with HTTP routes below it is asked for by Django's own request."""
    browser = Browser(served.port, "ada", 0)
    try:
        browser._connection.request("GET", "/staff/mcp/docs", headers=browser._own)
        response = browser._connection.getresponse()
        response.read()
    finally:
        browser.close()
    assert response.status == 404
