"""Four workers of a host: behind a proxy that goes round them, or of one web server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sample_projects.processes import free_port, running
from tests.workers.proxy import RoundRobin

WORKERS = 4

_UVICORN = ("-m", "uvicorn", "--factory", "--log-level", "warning", "--app-dir", ".")
_GUNICORN = ("-m", "gunicorn", "--threads", "16", "--log-level", "warning", "-w", "4")

HOSTS = {
    "uvicorn x 4": (*_UVICORN, "tests.workers.apps:asgi"),
    "uvicorn --workers 4": (*_UVICORN, "--workers", "4", "tests.workers.apps:asgi"),
    "gunicorn -w 4, Flask": (*_GUNICORN, "tests.workers.apps:flask()"),
    "gunicorn -w 4, Django": (*_GUNICORN, "tests.workers.project:wsgi"),
    "django-asgi x 4": (*_UVICORN, "tests.workers.project:asgi"),
}
"""The words that start a worker, or all of them."""

FORKED = {
    "gunicorn --preload": (*_GUNICORN, "--preload", "tests.workers.apps:flask()"),
    "gunicorn --preload, after use": (
        *(*_GUNICORN, "--preload"),
        "tests.workers.apps:flask_that_was_used()",
    ),
}
"""Those whose application was made before the workers were forked."""

GREEN = {
    "gunicorn -k gevent": (
        *("-m", "gunicorn", "-k", "gevent", "-w", "4", "--log-level", "warning"),
        "tests.workers.apps:flask()",
    ),
}
"""Those whose requests run in greenlets."""


class Workers:
    """Running workers of a host.

    Attributes:
        port: Of the proxy, or of the web server.
        processes: One for each worker, where each was started by itself.
    """

    def __init__(self, port: int, processes: list[Any]) -> None:
        self.port = port
        self.processes = processes


@contextmanager
def workers(host: str, backplane: str) -> Iterator[Workers]:
    """Four workers of a host that share a backplane.

    Args:
        host: One of `HOSTS`, of `FORKED` or of `GREEN`.
        backplane: Its URL.
    """
    words = {**HOSTS, **FORKED, **GREEN}[host]
    environment = {"BACKPLANE": backplane, "MCP_MOUNT_SECRET_KEY": "for-tests-only"}
    with ExitStack() as stack:
        if "-w" in words or "--workers" in words:
            port = free_port()
            where = ("--bind", f"127.0.0.1:{port}") if "-w" in words else ("--port", str(port))
            one = running([sys.executable, *words, *where], port, environment=environment)
            yield Workers(port, [stack.enter_context(one)])
            return
        ports = [free_port() for _ in range(WORKERS)]
        processes = [
            stack.enter_context(
                running(
                    [sys.executable, *words, "--port", str(port)], port, environment=environment
                )
            )
            for port in ports
        ]
        proxy = RoundRobin(ports)
        stack.callback(proxy.close)
        yield Workers(proxy.port, processes)
