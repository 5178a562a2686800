"""Four workers of a host: behind a proxy that goes round them, or of one web server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sample_projects.processes import Together, free_port, running
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
def workers(
    host: str,
    backplane: str,
    *,
    addresses: Sequence[str] = ("127.0.0.1",),
    ahead: Sequence[float] = (0.0,),
    log: Path | None = None,
) -> Iterator[Workers]:
    """Four workers of a host that share a backplane.

    Args:
        host: One of `HOSTS`, `FORKED` or `GREEN`.
        backplane: Its URL.
        addresses: Where they listen: at each of them, if a web server has four workers; by turns,
            if each was started by itself.
        ahead: By how many seconds their clocks are ahead, by turns.
        log: Where they write; the name ends in a number, if there are several.
    """
    words = {**HOSTS, **FORKED, **GREEN}[host]
    count = len(addresses) if "-w" in words or "--workers" in words else WORKERS
    places, starting = [], []
    for number in range(count):
        address = addresses[number % len(addresses)]
        port = free_port(address)
        places.append((address, port))
        later = ahead[number % len(ahead)]
        one = running(
            [sys.executable, *words, *_listening(words, address, port)],
            port,
            address=address,
            environment={
                "BACKPLANE": backplane,
                "MCP_MOUNT_SECRET_KEY": "for-tests-only",
                **({"CLOCK_AHEAD": str(later)} if later else {}),
            },
            log=log if log is None or count == 1 else log.with_name(f"{log.name}{number}"),
        )
        starting.append(one)
    with Together() as stack, ThreadPoolExecutor(count) as pool:
        processes = list(pool.map(stack.enter_context, starting))
        if count == 1:
            yield Workers(places[0][1], processes)
            return
        with closing(RoundRobin(places)) as proxy:
            yield Workers(proxy.port, processes)


def _listening(words: Sequence[str], address: str, port: int) -> tuple[str, ...]:
    if "gunicorn" in words:
        return "--bind", f"{address}:{port}"
    return "--host", address, "--port", str(port)
