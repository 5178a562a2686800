"""Ledgers in FastAPI and Starlette under ASGI servers: two members, many clients."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from sample_projects.processes import PYTHONPATH, ROOT, free_port, running
from tests.load import Served, check, command

LEDGER = "tests.mcp_mount_fastapi.ledger"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases as they are before the first call."""
    folder = tmp_path_factory.mktemp("databases")
    environment = {"LEDGER_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    subprocess.run(
        [sys.executable, "-m", LEDGER], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    return folder


@pytest.fixture(
    scope="module",
    params=[
        (host, server) for host in ("fastapi", "starlette") for server in ("uvicorn", "hypercorn")
    ],
    ids="-".join,
)
def served(
    request: pytest.FixtureRequest, databases: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    host, server = request.param
    folder = shutil.copytree(databases, tmp_path_factory.mktemp(host) / "own")
    environment = {"LEDGER_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    port = free_port()
    words = command(server, f"{LEDGER}:{host}", port)
    with running(words, port, environment=environment) as process:
        yield Served(port, folder, process.pid)


def log_in(connection: HTTPConnection, member: str, number: int) -> tuple[str, dict[str, str]]:
    return "/mcp", {"authorization": f"Bearer token-of-{member}"}


def entries(served: Served, member: str, number: int) -> list[tuple[int, int]]:
    query = f"SELECT count(*), sum(amount) FROM entry WHERE member = '{member}'"
    found: list[tuple[int, int]] = served.rows("default", query)
    return found


def test_members_share_a_server_and_nothing_else(served: Served) -> None:
    check(served, log_in, entries, lambda served: served.number("/checked-out"))
