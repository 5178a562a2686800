"""A web server in a process of its own, on a core of its own: its CPU time, memory and start."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from sample_projects.processes import free_port, running

_TICK = os.sysconf("SC_CLK_TCK")

UVICORN = ("--log-level", "error", "--no-access-log")
GUNICORN = (
    *("--worker-class", "gthread", "--threads", "8", "--keep-alive", "60"),
    *("--graceful-timeout", "1", "--no-control-socket", "--log-level", "error"),
)


class Server:
    """A running server and its child processes, as /proc shows them."""

    def __init__(self, port: int, pid: int, start: float) -> None:
        self.port = port
        self.pid = pid
        self.start = start
        """Seconds from its start to its first answer."""

    def cpu(self) -> float:
        """Seconds of CPU time, user and system, of all its processes."""
        total = 0
        for pid in self._processes():
            with suppress(FileNotFoundError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / _TICK

    def memory(self) -> float:
        """Resident memory of its largest process, which is the worker, in MB."""
        return max(self._status(pid, "VmRSS") for pid in self._processes()) / 1024

    def threads(self) -> int:
        """Threads of the process that has most."""
        return max(self._status(pid, "Threads") for pid in self._processes())

    def _processes(self) -> Iterator[int]:
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            with suppress(FileNotFoundError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                waiting += map(int, children.split())

    def _status(self, pid: int, field: str) -> int:
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    return int(line.split()[1])
        return 0


def command(
    server: str,
    factory: str,
    port: int,
    *,
    python: str = sys.executable,
    workers: int = 1,
    options: Sequence[str] = (),
) -> list[str]:
    """The command line of a web server, "uvicorn" or "gunicorn", for "module:factory"."""
    if server == "gunicorn":
        words = ["gunicorn", f"{factory}()", "--bind", f"127.0.0.1:{port}", *GUNICORN]
    else:
        words = ["uvicorn", "--factory", factory, "--port", str(port), *UVICORN]
        words += ["--backlog", "8192"]
    return [python, "-m", *words, "--workers", str(workers), *options]


@contextmanager
def serving(
    server: str,
    factory: str,
    *,
    python: str = sys.executable,
    workers: int = 1,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    seconds: float = 30.0,
    ready: Callable[[int], object] = lambda port: None,
) -> Iterator[Server]:
    """Run a server on its core.

    Args:
        server: "uvicorn" or "gunicorn".
        factory: What makes the application, as "module:function".
        python: The interpreter, of another environment for peers.
        workers: How many processes serve; each has a core of its own, if there are enough.
        options: More options of the web server.
        environment: Further environment variables.
        seconds: How long it may take to listen.
        ready: Called with the port; it returns when the server has answered.

    Yields:
        The server, after `ready` has returned.
    """
    port = free_port()
    words = command(server, factory, port, python=python, workers=workers, options=options)
    with pinned(range(workers)):
        started = time.perf_counter()
        running_server = running(words, port, environment=environment, seconds=seconds)
        process = running_server.__enter__()
    try:
        ready(port)
        yield Server(port, process.pid, time.perf_counter() - started)
    finally:
        running_server.__exit__(None, None, None)


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let this thread, and the processes that it starts meanwhile, run on some cores only.

    Cores are counted among those that this process may use; without enough of them (or where
    the system cannot pin processes) they are shared.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {ALLOWED[core % len(ALLOWED)] for core in cores})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pinned_beside(workers: int) -> AbstractContextManager[None]:
    """Keep this process, which makes the load, off the cores of the servers if it can."""
    return pinned(range(workers, len(ALLOWED)) or range(len(ALLOWED)))


ALLOWED = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
"""The cores that this process may use when it starts."""
