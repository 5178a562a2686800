"""Real server processes, for the demo and the tests: on a free loopback port, always stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
PYTHONPATH = os.pathsep.join(
    [
        # Before an installed copy of the packages, which may be another checkout's.
        *(str(ROOT), str(ROOT / "integrations")),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
)
"""The import path of server processes: this checkout first."""


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Process(Protocol):
    """What is needed of a process, as `subprocess.Popen` has it."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def start(
    words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], output: int
) -> Process:
    """Start a process in a session of its own, that reads nothing.

    Args:
        words: Its command line.
        cwd: Where it works.
        environment: Its whole environment.
        output: The file descriptor for what it prints.
    """
    return subprocess.Popen(
        words,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


start_server = start
"""How `running` starts servers. The tests have a faster way."""


@contextmanager
def running(
    words: Sequence[str],
    port: int,
    *,
    address: str = "127.0.0.1",
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    log: Path | None = None,
) -> Iterator[Process]:
    """Run a server until the block ends; begins when it takes connections at `port` of `address`.

    What the server prints is shown if it does not start; log: where it is kept.
    """
    variables = {**os.environ, "PYTHONPATH": PYTHONPATH, **(environment or {})}
    with tempfile.TemporaryFile() if log is None else log.open("w+b") as output:
        process = start_server(words, cwd=cwd, environment=variables, output=output.fileno())
        try:
            # gunicorn listens before a worker has loaded the application, and clients do not wait
            # for that as long as it takes on a busy machine.
            _wait(process, (address, port), seconds, until_taken="gunicorn" in words)
            yield process
        except ServerFailed:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise
        finally:
            _stop(process)


class Together:
    """Contexts that end at the same time: gunicorn takes up to three seconds to stop, idle."""

    def __init__(self) -> None:
        self._entered: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> Together:
        return self

    def enter_context(self, context: AbstractContextManager[T]) -> T:
        value = context.__enter__()
        self._entered.append(context)
        return value

    def __exit__(self, *raised: object) -> None:
        if self._entered:
            with ThreadPoolExecutor(len(self._entered)) as pool:
                ended = pool.map(lambda context: context.__exit__(None, None, None), self._entered)
            # Raises what one of them has raised, when all have ended.
            list(ended)


class ServerFailed(RuntimeError):
    """A server ended, or did not listen in time."""


def _wait(process: Process, place: tuple[str, int], seconds: float, *, until_taken: bool) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"the server ended with status {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(place) == 0:
                if not until_taken or _is_taken(probe):
                    return
                continue
        time.sleep(0.01)
    raise ServerFailed(f"nothing listens at port {place[1]} after {seconds:g} s")


def _is_taken(connection: socket.socket) -> bool:
    """Whether a server has taken a connection: it closes one whose client has nothing to say."""
    connection.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError, ConnectionError):
        return connection.recv(1) == b""
    return False


def _stop(process: Process) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                continue
