"""Ledgers in FastAPI and Starlette under ASGI servers: two members, many clients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from sample_projects.processes import PYTHONPATH, ROOT, free_port, running
from tests.load import Served, check, command

LEDGER = "tests.mcp_mount_fastapi.ledger"


@pytest.fixture(
    scope="module",
    params=[
        (host, server) for host in ("fastapi", "starlette") for server in ("uvicorn", "hypercorn")
    ],
    ids="-".join,
)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    host, server = request.param
    folder = tmp_path_factory.mktemp(host)
    environment = {"LEDGER_FOLDER": str(folder), "PYTHONPATH": PYTHONPATH}
    subprocess.run(
        [sys.executable, "-m", LEDGER], cwd=ROOT, env=environment, check=True, capture_output=True
    )
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
