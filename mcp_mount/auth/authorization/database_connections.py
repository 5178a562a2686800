"""Connections in a table of any database that Python has a DB-API 2.0 driver for (PEP 249)."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from typing import Any, Final

from mcp_mount.auth.authorization.connections import MAX_LISTED, Connection, chosen

TABLE: Final = "mcp_mount_connections"

_CREATE: Final = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    id VARCHAR(64) PRIMARY KEY,
    user_id VARCHAR(255) NOT NULL,
    client VARCHAR(64) NOT NULL,
    client_name VARCHAR(200) NOT NULL,
    client_host VARCHAR(255),
    resource VARCHAR(2000) NOT NULL,
    scopes VARCHAR(4000) NOT NULL,
    stamp VARCHAR(255) NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    used DOUBLE PRECISION NOT NULL,
    generation INTEGER NOT NULL,
    revoked DOUBLE PRECISION
)"""
"""SQL that SQLite, PostgreSQL, MySQL and MariaDB read alike."""

RETIRED: Final = "mcp_mount_retired"

_CREATE_RETIRED: Final = f"""CREATE TABLE IF NOT EXISTS {RETIRED} (
    id VARCHAR(64) PRIMARY KEY,
    until DOUBLE PRECISION NOT NULL
)"""

# The names in the statements below are those of this module: nothing in them is from outside.
_COLUMNS: Final = ["user_id" if one.name == "user" else one.name for one in fields(Connection)]

_NAMES: Final = ", ".join(_COLUMNS)

_PLACE: Final[dict[str, Callable[[int], str]]] = {
    "qmark": lambda number: "?",
    "numeric": lambda number: f":{number}",
    "named": lambda number: f":p{number}",
    "format": lambda number: "%s",
    "pyformat": lambda number: f"%(p{number})s",
}
"""How drivers write parameters."""


class DatabaseConnections:
    """Keeps connections in a table, and what is retired in another, which it makes at the first
    use.

    Args:
        connect: Opens a DB-API connection, which is closed after each operation: a pool may be
            behind it. It is called on several threads.
    """

    is_shared = True

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._is_made = False
        self._lock = threading.Lock()

    def add(self, connection: Connection) -> bool:
        values = {**asdict(connection), "scopes": " ".join(connection.scopes)}
        places = ", ".join("{}" for _ in _COLUMNS)
        statement = f"INSERT INTO {TABLE} ({_NAMES}) VALUES ({places})"  # noqa: S608
        return self._insert(statement, *values.values())

    def get(self, id: str) -> Connection | None:
        found = self._select("WHERE id = {}", id)
        return found[0] if found else None

    def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
        statement = (
            f"UPDATE {TABLE} SET generation = generation + 1, used = {{}}, stamp = {{}} "  # noqa: S608
            "WHERE id = {} AND generation = {} AND revoked IS NULL"
        )
        return bool(self._change(statement, used, stamp, id, generation))

    def revoke(self, id: str, at: float) -> bool:
        statement = (
            f"UPDATE {TABLE} SET revoked = {{}} "  # noqa: S608
            "WHERE id = {} AND revoked IS NULL"
        )
        return bool(self._change(statement, at, id))

    def list(self, user: str | None = None, client: str | None = None) -> Sequence[Connection]:
        where, given = "WHERE revoked IS NULL", []
        if user is not None:
            where, given = f"{where} AND user_id = {{}}", [user]
        if client is not None:
            where = f"{where} AND (client_name = {{}} OR client_host = {{}})"
            given += [client, client]
        # Neither LIMIT nor FETCH FIRST is read by all of them.
        found = self._select(f"{where} ORDER BY created DESC", *given)
        # MySQL takes "Ann" for "ann", as most of its collations do.
        return chosen(found, user, client)

    def purge(self, before: float, revoked: float | None = None) -> int:
        statement = (
            f"DELETE FROM {TABLE} "  # noqa: S608
            "WHERE revoked < {} OR (revoked IS NULL AND used < {})"
        )
        count = self._change(statement, before if revoked is None else revoked, before)
        self._change(f"DELETE FROM {RETIRED} WHERE until < {{}}", time.time())  # noqa: S608
        return count

    def retire(self, id: str, until: float) -> bool:
        statement = f"INSERT INTO {RETIRED} (id, until) VALUES ({{}}, {{}})"  # noqa: S608
        return self._insert(statement, id, until)

    def is_retired(self, id: str) -> bool:
        with self._cursor() as (raw, cursor):
            _execute(cursor, raw, f"SELECT id FROM {RETIRED} WHERE id = {{}}", id)  # noqa: S608
            return bool(cursor.fetchall())

    def _insert(self, statement: str, *given: Any) -> bool:
        """Add a row; returns whether its key was not there."""
        with self._cursor() as (raw, cursor):
            try:
                _execute(cursor, raw, statement, *given)
            except Exception as error:
                # Drivers have their own classes for it, of the same name (PEP 249).
                if not _is_integrity_error(error):
                    raise
                raw.rollback()
                return False
        return True

    def _select(self, where: str, *given: Any) -> Sequence[Connection]:
        with self._cursor() as (raw, cursor):
            _execute(cursor, raw, f"SELECT {_NAMES} FROM {TABLE} {where}", *given)  # noqa: S608
            return [_connection(row) for row in cursor.fetchmany(MAX_LISTED)]

    def _change(self, statement: str, *given: Any) -> int:
        with self._cursor() as (raw, cursor):
            _execute(cursor, raw, statement, *given)
            count: int = cursor.rowcount
            return count

    @contextmanager
    def _cursor(self) -> Iterator[tuple[Any, Any]]:
        """A cursor on a connection of its own, whose changes are committed at the end."""
        with closing(self._connect()) as raw:
            if not self._is_made:
                self._make(raw)
            with closing(raw.cursor()) as cursor:
                yield raw, cursor
            raw.commit()

    def _make(self, raw: Any) -> None:
        """Make the tables, if they are not there."""
        with self._lock, closing(raw.cursor()) as cursor:
            for create, names, table in (
                (_CREATE, _NAMES, TABLE),
                (_CREATE_RETIRED, "id, until", RETIRED),
            ):
                try:
                    cursor.execute(create)
                except Exception:
                    # PostgreSQL refuses it where another process makes it at this moment, and where
                    # the application may not make tables: then somebody else has made it.
                    raw.rollback()
                    cursor.execute(f"SELECT {names} FROM {table} WHERE 1 = 0")  # noqa: S608
                    cursor.fetchall()
                raw.commit()
            self._is_made = True


def _execute(cursor: Any, raw: Any, statement: str, *given: Any) -> None:
    """Execute a statement, whose parameters stand as {}."""
    style = _style_of(raw)
    place = _PLACE[style]
    numbers = iter(range(1, len(given) + 1))
    written = re.sub(r"\{\}", lambda _: place(next(numbers)), statement)
    if style in ("named", "pyformat"):
        cursor.execute(written, {f"p{number}": one for number, one in enumerate(given, 1)})
    else:
        cursor.execute(written, given)


def _style_of(raw: Any) -> str:
    """How the driver of a connection writes parameters (PEP 249, `paramstyle`)."""
    # What SQLAlchemy's pools give out (`engine.raw_connection`) is around that of the driver.
    for kind in type(getattr(raw, "driver_connection", raw)).__mro__:
        module: Any = kind.__module__
        while module:
            style = getattr(sys.modules.get(module), "paramstyle", None)
            if style in _PLACE:
                return str(style)
            module = module.rpartition(".")[0]
    raise TypeError(
        f"the function given as store= of SignIn returned {type(raw).__name__}, whose module has "
        "no paramstyle: it must return a DB-API connection"
    )


def _is_integrity_error(error: Exception) -> bool:
    return any(kind.__name__ == "IntegrityError" for kind in type(error).__mro__)


def _connection(row: Sequence[Any]) -> Connection:
    values = dict(zip((one.name for one in fields(Connection)), row, strict=True))
    return Connection(**{**values, "scopes": tuple(values["scopes"].split())})
