"""`flask mcp stdio`: each call has an application context, and so a session, of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sample_projects.processes import PYTHONPATH, ROOT
from tests.mcp_mount_flask.till import empty, rows
from tests.requests import initialize, message, meta


class Terminal:
    """A client of the command."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self.folder = folder

    def ask(self, body: Any) -> Any:
        """Send a message; what answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(body) + "\n")
        self._process.stdin.flush()
        while True:
            answer = json.loads(self._process.stdout.readline())
            if isinstance(answer, list) or "id" in answer:
                return answer

    def call(self, tool: str, name: str) -> Any:
        """Call a tool: the text and whether it failed."""
        params = {"name": tool, "arguments": {"name": name}, "_meta": meta()}
        result = self.ask(message("tools/call", params))["result"]
        return result["content"][0]["text"], result.get("isError", False)


@contextmanager
def started(folder: Path) -> Iterator[Terminal]:
    """The command, with a database in a folder; it must end well."""
    target = "tests.mcp_mount_flask.till:create_app()"
    environment = {**os.environ, "TILL_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", target, "mcp", "stdio"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Terminal(process, folder)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    with started(tmp_path_factory.mktemp("till")) as terminal:
        # Once it answers, its tables are there.
        terminal.ask(message("tools/list", {"_meta": meta()}))
        yield terminal


@pytest.fixture
def terminal(shared: Terminal) -> Terminal:
    """A client whose till is empty."""
    empty(shared.folder)
    return shared


@pytest.mark.parametrize("put", ["put", "put_async"])
@pytest.mark.parametrize("drop", ["drop", "drop_async"])
def test_what_a_failed_call_has_not_committed_is_gone(
    terminal: Terminal, drop: str, put: str
) -> None:
    assert terminal.call(drop, "a penny") == ("dropped", True)
    # Nor does it lock the database for the web application.
    assert rows(terminal.folder) == []
    assert terminal.call(put, "a crown") == ("1", False)
    assert rows(terminal.folder) == ["a crown"]


@pytest.mark.parametrize("put", ["put", "put_async"])
def test_a_broken_session_is_that_of_its_call(terminal: Terminal, put: str) -> None:
    assert terminal.call(put, "a crown") == ("1", False)
    _, failed = terminal.call(put, "a crown")
    assert failed
    assert terminal.call(put, "a shilling") == ("2", False)


def test_the_calls_of_a_batch_have_a_session_each(tmp_path: Path) -> None:
    batch = [
        message("tools/call", {"name": tool, "arguments": {"name": name}}, number)
        for number, (tool, name) in enumerate([("drop", "a penny"), ("put", "a crown")])
    ]
    with started(tmp_path) as terminal:
        terminal.ask(json.loads(initialize("2025-03-26")))
        answers = terminal.ask(batch)
    failed = {answer["id"]: answer["result"].get("isError", False) for answer in answers}
    assert failed == {0: True, 1: False}
    assert rows(tmp_path) == ["a crown"]
