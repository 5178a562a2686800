"""How costs grow: with clients, workers, tools, bytes and listeners; and under overload.

Each function measures one curve and returns its rows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import listeners, load, overload
from benchmarks.client import prepare
from benchmarks.listeners import Listening
from benchmarks.load import Measurement
from benchmarks.messages import Request, call, echo, request
from benchmarks.overload import Overload
from benchmarks.servers import Server, pinned_beside, serving
from benchmarks.targets import APPLICATIONS

CONNECTIONS = (1, 4, 16, 64, 256, 1024)
WORKERS = (1, 2)
TOOLS = (3, 10, 100, 1_000, 5_000)
BYTES = (100, 1_000, 10_000, 100_000, 1_000_000, 4_000_000)
LISTENERS = (1, 10, 100, 1_000, 5_000)
RATES = (200, 400, 800, 1_600)


def concurrency(seconds: float) -> Iterator[tuple[str, int, Measurement]]:
    """By connections: the limit, a coroutine, a plain function."""
    for title, factory, message in (
        ("limit", "limit", echo()),
        ("`async def`", "alone", echo()),
        ("`def`", "alone", echo("echo_plain")),
    ):
        with _server(factory) as server:
            for count in CONNECTIONS:
                one = load.measure(server, message, seconds=seconds, connections=count)
                _tell(f"{title}, {count} connections", one)
                yield title, count, one


def workers(seconds: float) -> Iterator[tuple[str, int, Measurement]]:
    """By workers: alone on uvicorn, in Flask on gunicorn. The load shares the cores with them."""
    for title, kind, factory, message in (
        ("alone, uvicorn", "uvicorn", "alone", echo()),
        ("in Flask, gunicorn", "gunicorn", "in_flask", echo("echo_plain")),
    ):
        for count in WORKERS:
            with _server(factory, kind=kind, workers=count) as server:
                one = load.measure(server, message, seconds=seconds)
                _tell(f"{title}, {count} workers", one)
                yield title, count, one


@dataclass(frozen=True)
class Tools:
    """A server with so many tools.

    Attributes:
        start: Seconds until its first answer.
        memory: Its memory then, in MB.
    """

    start: float
    memory: float
    call: Measurement
    listed: Measurement


def tools(seconds: float) -> Iterator[tuple[int, Tools]]:
    """By tools of the server: its start, a call of one of them, the list of them all."""
    for count in TOOLS:
        environment = {"BENCH_TOOLS": str(count)}
        with _server("tools", environment=environment) as server:
            start, memory = server.start, server.memory()
            called = load.measure(server, echo(), seconds=seconds)
            whole = request("tools/list", {}, f'"tool_{count - 3}"')
            listed = load.measure(server, whole, seconds=seconds, connections=8)
            _tell(f"{count} tools, a call", called)
            _tell(f"{count} tools, the list", listed)
            yield count, Tools(start, memory, called, listed)


def payload(seconds: float) -> Iterator[tuple[str, int, Measurement]]:
    """By bytes: an argument, an argument that is sent back, and the same without mcp-mount."""
    for title, factory, tool in (
        ("argument", "work", "size"),
        ("argument and result", "work", "echo"),
        ("argument and result, the limit", "limit", "echo"),
    ):
        with _server(factory) as server:
            for size in BYTES:
                expect = str(size) if tool == "size" else "x" * 50
                message = call(tool, {"text": "x" * size}, expect)
                one = load.measure(server, message, seconds=seconds, connections=4)
                _tell(f"{title}, {size} bytes", one)
                yield title, size, one


def listening() -> Iterator[Listening]:
    """By listeners: what they cost while nothing happens, and when all hear of a change."""
    with _server("work") as server:
        for count in LISTENERS:
            if not listeners.allow(count):
                print(f"{count} listeners: too few files (ulimit -n)", file=sys.stderr)
                continue
            one = asyncio.run(listeners.measure(server, count))
            print(f"{count} listeners: told in {one.told:.1f} ms", file=sys.stderr, flush=True)
            yield one


def overloaded(seconds: float) -> Iterator[tuple[str, Overload]]:
    """By requests per second, at a pool that answers 400: with a queue, and with a limit."""
    for title, tool in (("queue", "queued"), ("`max_concurrency`", "shed")):
        for rate in RATES:
            # A server of its own each: the queue of one is not the start of the next.
            with _server("work") as server:
                one = asyncio.run(overload.measure(server.port, call(tool), rate, seconds))
            print(
                f"{title}, {rate}/s: {one.answered:.0f}/s answered, p99 {one.p99:.0f} ms",
                file=sys.stderr,
                flush=True,
            )
            yield title, one


@contextmanager
def _server(
    factory: str,
    *,
    kind: str = "uvicorn",
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    def ready(port: int) -> None:
        asyncio.run(prepare(port, _first(factory)))

    with (
        pinned_beside(workers),
        serving(
            kind,
            APPLICATIONS + factory,
            workers=workers,
            environment=environment,
            seconds=120,
            ready=ready,
        ) as server,
    ):
        yield server


def _first(factory: str) -> Request:
    return echo("echo_plain") if "flask" in factory else echo()


def _tell(what: str, one: Measurement) -> None:
    shown = f"{one.per_second:>9,.0f}/s{one.cpu:>9.0f} µs{one.p99:>9.1f} ms{one.errors:>4} errors"
    print(f"{what:44}{shown}", file=sys.stderr, flush=True)


def by_name(
    rows: Sequence[tuple[str, int, Measurement]], figure: str
) -> dict[str, list[tuple[float, float]]]:
    """The points of each curve, for a chart."""
    found: dict[str, list[tuple[float, float]]] = {}
    for title, count, one in rows:
        found.setdefault(title.replace("`", ""), []).append((count, getattr(one, figure)))
    return found
