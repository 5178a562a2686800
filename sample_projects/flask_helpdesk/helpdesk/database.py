"""The database: one SQLite connection per request, kept in `g`."""

import sqlite3

import click
from flask import Flask, current_app, g
from werkzeug.security import generate_password_hash

TICKETS = [
    ("Printer on floor 2 prints blank pages", "Since Monday. Toner is new.", "open", 2),
    ("VPN drops every hour", "Reconnecting helps for a while.", "open", 1),
    ("New laptop for Robin", "Starts on the first.", "waiting", 3),
    ("Meeting room screen flickers", "Cable exchanged, works.", "closed", 4),
]


def connect() -> sqlite3.Connection:
    return sqlite3.connect(current_app.config["DATABASE"])


def connection() -> sqlite3.Connection:
    if "connection" not in g:
        g.connection = connect()
        g.connection.row_factory = sqlite3.Row
        g.connection.execute("PRAGMA foreign_keys = ON")
    return g.connection


def close(error: BaseException | None = None) -> None:
    connection = g.pop("connection", None)
    if connection is not None:
        connection.close()


@click.command("init-db")
def init_db() -> None:
    """Create the tables and fill them with sample tickets."""
    with current_app.open_resource("schema.sql") as schema:
        connection().executescript(schema.read().decode())
    with connection() as database:
        if database.execute("SELECT count(*) FROM ticket").fetchone()[0] == 0:
            database.executemany(
                "INSERT INTO ticket (title, body, status, priority) VALUES (?, ?, ?, ?)", TICKETS
            )
        database.execute(
            "INSERT OR IGNORE INTO person (name, password) VALUES (?, ?)",
            ("demo", generate_password_hash("demo")),
        )
    click.echo("The database is ready")


def init_app(app: Flask) -> None:
    app.teardown_appcontext(close)
    app.cli.add_command(init_db)
