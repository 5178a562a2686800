"""Four workers at full load for minutes: no error, and what they hold does not grow.

    python -m tests.workers.soak --seconds 600 --host "gunicorn -w 4, Flask"

Prints a line for each period, and fails where one of `BOUNDS` is exceeded after the warm-up, or
where Redis keeps more than it should when the clients have been silent for a minute.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import Any, Final

from tests.valkey import Valkey
from tests.workers.client import Client
from tests.workers.hosts import HOSTS, WORKERS, workers
from tests.workers.test_any_worker import (
    cancelled,
    delete,
    elicit,
    elicit_async,
    list_changed,
    listen,
    resumed,
    sampling,
    task_cancel,
    task_get,
    task_update,
)

Act = Callable[[Client, int], None]

CLIENTS: Final = 16
KEPT_SECONDS: Final = 60
"""For how long the shop keeps tasks and streams."""


def stateless(client: Client, number: int) -> None:
    assert isinstance(client.stateless("tools/list")["tools"], list)
    for _ in range(10):
        called = client.stateless("tools/call", {"name": "where", "arguments": {}})
        assert "isError" not in called


ACTS: Final[Sequence[Act]] = (
    *(stateless, elicit, stateless, listen, stateless, task_get, stateless, cancelled),
    *(stateless, elicit_async, stateless, list_changed, stateless, task_update, sampling),
    *(stateless, resumed, stateless, task_cancel, stateless, delete),
)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the workers hold together, and the keys in Redis.

    Attributes:
        memory: Resident, in KiB.
        threads: Of all processes.
        files: That are open.
        keys: Those that come and go: of tasks, streams of calls, processes and changes.
        sessions: Keys of sessions that have ended, which stay as long as a session may last.
    """

    memory: int
    threads: int
    files: int
    keys: int
    sessions: int


BOUNDS: Final = {
    # What a worker remembers of sessions and streams is bounded, and fills up meanwhile.
    "memory": lambda before: before * 1.15 + WORKERS * 4096,
    "threads": lambda before: before + WORKERS * 4,
    "files": lambda before: before + WORKERS * 8,
}
"""What each may be after the warm-up, by what it was at its end."""


@dataclass(slots=True)
class Done:
    """What the clients have done so far."""

    acts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


def vitals(groups: Sequence[int], server: Valkey) -> Vitals:
    """What the processes of some groups hold now, and the keys of their Redis."""
    memory = threads = files = 0
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end meanwhile.
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) not in groups:
                continue
            status = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
            memory += int(status.get("VmRSS", "0 kB").split()[0])
            threads += int(status["Threads"])
            files += len(list((folder / "fd").iterdir()))
    with server.admin() as redis:
        names = list(redis.scan_iter(count=1000))
    sessions = sum(":s:" in name for name in names)
    return Vitals(memory, threads, files, len(names) - sessions, sessions)


def drive(client: Client, first: int, is_over: threading.Event, done: Done) -> None:
    """Do one thing after another, beginning anywhere."""
    number = first
    while not is_over.is_set():
        act = ACTS[number % len(ACTS)]
        try:
            act(client, number)
        except BaseException as error:
            done.errors.append("".join(format_exception(error))[-1500:])
        done.acts[act.__name__] += 1
        number += 1


def soak(host: str, seconds: float, say: Callable[[str], Any] = print) -> list[str]:
    """Drive four workers.

    Args:
        host: One of `HOSTS`.
        seconds: For how long.
        say: Takes the lines of the report.

    Returns:
        What was wrong.
    """
    warm_up = min(2.0 * KEPT_SECONDS, seconds / 3)
    with ExitStack() as stack:
        server = stack.enter_context(Valkey())
        log = Path(stack.enter_context(tempfile.TemporaryDirectory()), "log")
        site = stack.enter_context(workers(host, server.url, log=log))
        groups = [process.pid for process in site.processes]
        done, is_over = Done(), threading.Event()
        stack.callback(is_over.set)
        threads = [
            threading.Thread(target=drive, args=(Client(site.port), one * 5, is_over, done))
            for one in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        seen: list[Vitals] = []

        def report() -> Vitals:
            now = vitals(groups, server)
            say(
                f"{time.monotonic() - begun:7.0f} {sum(done.acts.values()):6} "
                f"{len(done.errors):6} {now.memory // 1024:4} MB {now.threads:7} "
                f"{now.files:5} {now.keys:5} {now.sessions:8}"
            )
            return now

        say("seconds   acts errors  memory threads files  keys sessions")
        pauses = [warm_up, *_periods(seconds - warm_up)]
        for pause in pauses:
            time.sleep(pause)
            seen.append(report())
        is_over.set()
        for thread in threads:
            thread.join()
        problems = [f"a client failed: {error}" for error in done.errors[:5]]
        problems += _grown(seen[0], seen[-1])
        if seconds > KEPT_SECONDS:
            time.sleep(KEPT_SECONDS + 6)
            rest = report()
            if rest.keys > WORKERS + 1:
                problems.append(f"{rest.keys} keys after a minute of rest")
            if rest.sessions > done.acts["delete"]:
                problems.append(f"{rest.sessions} keys of sessions, more than have ended")
        written = "".join(one.read_text(errors="replace") for one in log.parent.iterdir())
        if "Traceback" in written:
            problems.append(f"a worker wrote: {written[-3000:]}")
        say("done: " + ", ".join(f"{count} {name}" for name, count in done.acts.most_common()))
        return problems


def _periods(seconds: float) -> list[float]:
    """Minutes, and what is left of them."""
    minutes, rest = divmod(seconds, 60)
    return [60.0] * int(minutes) + ([rest] if rest >= 1 else [])


def _grown(before: Vitals, after: Vitals) -> list[str]:
    """What has grown beyond its bound."""
    found = []
    for name, bound in BOUNDS.items():
        was, now = getattr(before, name), getattr(after, name)
        if now > bound(was):
            found.append(f"{name}: {was} after the warm-up, {now} at the end")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--host", choices=HOSTS, default="gunicorn -w 4, Flask")
    given = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    problems = soak(given.host, given.seconds, say)
    for problem in problems:
        say(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
