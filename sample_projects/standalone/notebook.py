"""A notebook in SQLite. `python notebook.py` makes it with some notes."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def path() -> str:
    default = Path(__file__).parent / "notebook.sqlite3"
    return os.environ.get("NOTEBOOK_DATABASE", str(default))


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    """A connection that commits at the end, and rolls back after an exception."""
    connection = sqlite3.connect(path())
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    with connect() as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"
        )
        connection.executemany(
            "INSERT OR IGNORE INTO note (text) VALUES (?)",
            [("Water the plants",), ("Read RFC 9110",), ("Call the bicycle shop",)],
        )


if __name__ == "__main__":
    prepare()
    print(f"The notebook is at {path()}")
