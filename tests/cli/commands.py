"""The command lines of hosts, in processes of their own, and what their stores of connections
have."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

from mcp_mount.auth import Connection
from mcp_mount.auth.authorization.database_connections import TABLE, DatabaseConnections
from sample_projects.processes import PYTHONPATH
from tests import prepared
from tests.integrations.test_signing_in import migrated

APPS = "tests.integrations.signing_in_apps"
PROGRAMS = {
    "alone": ["-m", "mcp_mount"],
    "fastapi": ["-m", "mcp_mount"],
    "starlette": ["-m", "mcp_mount"],
    "flask": ["-m", "flask", "--app", f"{APPS}:flask", "mcp"],
    "django": ["-m", "tests.cli.manage", "mcp"],
}
"""The command line of each host."""

Done = subprocess.CompletedProcess[str]


class CommandLine:
    """The command line of a host.

    Args:
        host: The host.
        folder: For its database.
    """

    def __init__(self, host: str, folder: Path) -> None:
        self.host = host
        self._file = folder / "db.sqlite3"
        self._environment = {"PYTHONPATH": PYTHONPATH}
        if host == "django":
            self._environment["DATABASE"] = str(self._file)
            self._file.write_bytes(migrated())
        else:
            self._environment["STORE"] = str(self._file)

    @property
    def target(self) -> list[str]:
        """What the command line of the library is told."""
        is_own = PROGRAMS[self.host] == ["-m", "mcp_mount"]
        return [f"{APPS}:{self.host}()"] if is_own else []

    def run(self, *words: str, said: str = "", **environment: str) -> Done:
        """Run a command."""
        return prepared.run(
            [sys.executable, *PROGRAMS[self.host], *words],
            environment={**self._environment, **environment},
            said=said,
        )

    def connections(self, action: str, *words: str, said: str = "", **environment: str) -> Done:
        """Run the command `connections`."""
        return self.run("connections", action, *self.target, *words, said=said, **environment)

    def add(self, connection: Connection) -> None:
        """Add a connection."""
        if self.host != "django":
            assert DatabaseConnections(partial(sqlite3.connect, self._file)).add(connection)
            return
        row = {**asdict(connection), "scopes": " ".join(connection.scopes)}
        places = ", ".join("?" * len(row))
        with closing(sqlite3.connect(self._file)) as raw, raw:
            statement = f"INSERT INTO {self._table} ({', '.join(row)}) VALUES ({places})"
            raw.execute(statement, [*row.values()])

    def kept(self) -> dict[str, bool]:
        """The ids of the connections that are there, and whether each holds."""
        with closing(sqlite3.connect(self._file)) as raw:
            rows = raw.execute(f"SELECT id, revoked FROM {self._table} ORDER BY id").fetchall()
        return {id: revoked is None for id, revoked in rows}

    @property
    def _table(self) -> str:
        return "mcp_mount_django_assistantconnection" if self.host == "django" else TABLE
