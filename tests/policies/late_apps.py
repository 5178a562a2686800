"""Tools that take longer than they have, each within something that must not be left behind: the
lock of a log handler, a Condition, a queue, a transaction."""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from mcp_mount import MCPServer

SECONDS = 0.1
"""How long the tools take; half of it is what they have."""

_folder = Path(os.environ["LATE_FOLDER"])


class SlowHandler(logging.FileHandler):
    """Writes to a slow disk, with its lock taken."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        time.sleep(0.001)


_log = logging.getLogger("late")
_log.propagate = False
_handler = SlowHandler(_folder / "log")
_log.addHandler(_handler)
_condition = threading.Condition()
_items: queue.Queue[int] = queue.Queue(4)
_running: set[int] = set()


def _database() -> sqlite3.Connection:
    return sqlite3.connect(_folder / "rows.sqlite3", timeout=30)


with _database() as _connection:
    _connection.execute("PRAGMA journal_mode=WAL")
    _connection.execute("CREATE TABLE rows (number INTEGER)")


def _work(what: str) -> str:
    _running.add(threading.get_ident())
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if what == "log":
                _log.warning("a line")
            elif what == "lock":
                with _condition:
                    _condition.notify_all()
                _items.put(1)
                _items.get()
            elif what == "query":
                connection = _database()
                with connection:
                    connection.execute("INSERT INTO rows VALUES (1)")
                connection.close()
        return "done"
    finally:
        _running.discard(threading.get_ident())


def _is_free(lock: Any) -> bool:
    free = bool(lock.acquire(timeout=20))
    if free:
        lock.release()
    return free


def server() -> MCPServer:
    server = MCPServer("late", secret_key="for-tests-only")

    @server.tool(timeout=SECONDS / 2)
    def late(what: str) -> str:
        return _work(what)

    @server.tool
    def state() -> dict[str, Any]:
        """What is left when all have ended."""
        end = time.monotonic() + 20
        while _running and time.monotonic() < end:
            time.sleep(0.01)
        connection = _database()
        with connection:
            connection.execute("INSERT INTO rows VALUES (2)")
        connection.close()
        return {
            "running": len(_running),
            "log": _is_free(_handler.lock),
            "condition": _is_free(_condition),
            "queue": _is_free(_items.mutex),
            "items": _items.qsize(),
            "threads": threading.active_count(),
        }

    return server


def asgi() -> Any:
    return server()


def wsgi() -> Any:
    return server().wsgi
