"""Stations, their observations, and people. `python -m weather.database` makes the sample data."""

import hashlib
import math
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS station (
    code TEXT PRIMARY KEY, city TEXT NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS observation (
    station TEXT NOT NULL REFERENCES station (code), hour INTEGER NOT NULL,
    temperature REAL NOT NULL, humidity INTEGER NOT NULL, PRIMARY KEY (station, hour)
);
CREATE TABLE IF NOT EXISTS person (name TEXT PRIMARY KEY, password TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kept (
    person TEXT NOT NULL REFERENCES person (name), station TEXT NOT NULL REFERENCES station (code),
    PRIMARY KEY (person, station)
);
"""

STATIONS = [
    ("OSL", "Oslo", 59.91, 10.75, 4.0),
    ("LIS", "Lisbon", 38.72, -9.14, 18.0),
    ("NBO", "Nairobi", -1.29, 36.82, 21.0),
    ("WLG", "Wellington", -41.29, 174.78, 14.0),
]


def path() -> str:
    default = Path(__file__).parent.parent / "weather.sqlite3"
    return os.environ.get("WEATHER_DATABASE", str(default))


def open_database() -> sqlite3.Connection:
    return sqlite3.connect(path())


def hashed(password: str, salt: str) -> str:
    digest = hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1)
    return f"{salt}${digest.hex()}"


@contextmanager
def connect() -> Iterator[sqlite3.Connection]:
    """A connection that commits at the end, and rolls back after an exception."""
    connection = open_database()
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def prepare() -> None:
    with connect() as connection:
        connection.executescript(SCHEMA)
        connection.execute(
            "INSERT OR IGNORE INTO person VALUES (?, ?)",
            ("demo", hashed("demo", secrets.token_hex(16))),
        )
        for code, city, latitude, longitude, mean in STATIONS:
            connection.execute(
                "INSERT OR REPLACE INTO station VALUES (?, ?, ?, ?)",
                (code, city, latitude, longitude),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO observation VALUES (?, ?, ?, ?)",
                (
                    (
                        code,
                        hour,
                        round(mean - 5 * math.cos(hour / 24 * math.tau), 1),
                        60 + hour % 12,
                    )
                    for hour in range(24)
                ),
            )


if __name__ == "__main__":
    prepare()
    print(f"{len(STATIONS)} stations in {path()}")
