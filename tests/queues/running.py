"""Running web servers and workers for the tests of this package."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sample_projects import processes
from sample_projects.processes import PYTHONPATH, ROOT, Process, free_port, running
from tests.valkey import Valkey
from tests.workers.client import Client, Stream

SECONDS = 60.0


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What a function returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to be so"
        time.sleep(0.05)
    return found


@contextmanager
def gunicorn(application: str, environment: Mapping[str, str], workers: int = 1) -> Iterator[Any]:
    """A web server with threads; yields its port and its process."""
    port = free_port()
    words = ["-m", "gunicorn", "--threads", "8", "-w", str(workers), "--log-level", "warning"]
    words += ["--bind", f"127.0.0.1:{port}", "--graceful-timeout", "2", application]
    with running([sys.executable, *words], port, environment=environment) as process:
        yield port, process


@contextmanager
def worker(
    words: list[str], environment: Mapping[str, str], log: Path, ready: str
) -> Iterator[Process]:
    """A worker process in a group of its own, from when its log says that it is ready."""
    variables = {**os.environ, "PYTHONPATH": PYTHONPATH, **environment}
    with log.open("wb") as output:
        process = processes.start_server(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            environment=variables,
            output=output.fileno(),
        )
        try:
            until(lambda: ready in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            kill_group(process)


def kill_group(process: Process) -> None:
    """End a process and its children at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def celery(module: str, pool: str, *options: str) -> list[str]:
    """The words that start a worker of Celery."""
    name = f"w{free_port()}@test"
    words = ["celery", "-A", module, "worker", "-P", pool, "-c", "2", "-n", name, "-l", "info"]
    return [*words, "--without-gossip", "--without-mingle", *options]


class Desk(Client):
    """A client of the tools of `desk.py`.

    Args:
        port: Of the web server.
        headers: Sent with each request.
    """

    def __init__(self, port: int, **headers: str) -> None:
        super().__init__(port)
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def send(self, method: str, headers: dict[str, str], body: bytes | None = None) -> Stream:
        return super().send(method, {**headers, **self._headers}, body)

    def begin(self, tool: str, **arguments: Any) -> str:
        """The id of a new task."""
        made = self.stateless("tools/call", {"name": tool, "arguments": arguments})
        assert made.get("resultType") == "task", made
        task_id: str = made["taskId"]
        return task_id

    def ended(self, task_id: str, seconds: float = SECONDS) -> Any:
        """A task, once it has ended."""
        ends = ("completed", "failed", "cancelled")

        def end() -> Any:
            seen = self.stateless("tasks/get", {"taskId": task_id})
            return seen if seen["status"] in ends else None

        return until(end, seconds)

    def outcome(self, tool: str, **arguments: Any) -> Any:
        """What a tool returns as a task."""
        seen = self.ended(self.begin(tool, **arguments))
        assert seen["status"] == "completed", seen
        found = seen["result"]["structuredContent"]
        return found.get("result", found)

    def cancel(self, task_id: str) -> None:
        self.stateless("tasks/cancel", {"taskId": task_id})


def tasks_in(backplane: Valkey) -> set[str]:
    """The keys of all tasks, and all that count for limits."""
    with backplane.admin() as client:
        found = set(client.scan_iter("*:t:*"))
        for key in client.scan_iter("*:p:tasks"):
            found |= set(client.zrange(key, 0, -1))
    return found


def has_ended(backplane: Valkey, task_id: str) -> bool:
    """Whether a task has ended, for tests that cannot ask as its client."""
    with backplane.admin() as client:
        [key] = client.scan_iter(f"*:t:{task_id}", count=10_000)
        return bool(client.hexists(key, "ended"))


def accept(desk: Desk, task_id: str) -> None:
    """Agree to what a task asks, once it does."""

    def asked() -> Any:
        seen = desk.stateless("tasks/get", {"taskId": task_id})
        assert seen["status"] in ("working", "input_required"), seen
        return seen.get("inputRequests")

    [key] = until(asked)
    answer = {"action": "accept", "content": {"sure": True}}
    desk.stateless("tasks/update", {"taskId": task_id, "inputResponses": {key: answer}})


def answered(desk: Desk, tool: str) -> Any:
    """What a tool returns that asks its client, who agrees."""
    task_id = desk.begin(tool, word="w")
    accept(desk, task_id)
    return desk.ended(task_id)["result"]["structuredContent"]["result"]


def children(process: Process) -> set[int]:
    """A process and all that it has started."""
    found = {process.pid}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[2]) == process.pid:
                found.add(int(status.parent.name))
    return found
