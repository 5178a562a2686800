"""Load on a running server: by wrk if it is installed, else by our own client, which is slower."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.client import Act, hammer, prepare, sending
from benchmarks.messages import FIRST_ID, Request
from benchmarks.servers import Server

SCRIPT = Path(__file__).with_name("wrk.lua")
WRK = shutil.which("wrk")
WARM = 0.5
"""Seconds of load before a measurement; wrk makes a whole second of it."""
HINT = (
    "wrk is not installed: measuring with a client in Python, which is too slow for the fastest "
    "targets (Debian and Ubuntu: apt install wrk; macOS: brew install wrk)."
)


@dataclass(frozen=True)
class Measurement:
    """One round at one target.

    Attributes:
        per_second: Answers per second.
        cpu: CPU time of the server's processes per answer, in microseconds.
        p50: Median of the time that an answer took, in milliseconds.
        p99: Its 99th percentile.
        errors: Answers with another status or another body, and connections that broke.
        memory: Resident memory of the largest process of the server, in MB, after the round.
        threads: Threads of that process.
        start: Seconds from the start of the server to its first answer; 0 if not measured.
        idle: The memory after the first answer; 0 if not measured.
    """

    per_second: float
    cpu: float
    p50: float
    p99: float
    errors: int
    memory: float
    threads: int
    start: float = 0.0
    idle: float = 0.0


def measure(
    server: Server,
    request: Request,
    *,
    seconds: float,
    connections: int = 32,
    start: float = 0.0,
    idle: float = 0.0,
) -> Measurement:
    """Check the answer to a request, warm the server up, then measure it."""
    request, response = asyncio.run(prepare(server.port, request))
    if WRK is None:
        one = measure_acts(server, sending(request), seconds=seconds, connections=connections)
        return replace(one, start=start, idle=idle)
    size = None if request.varies else response.size
    _wrk(server.port, request, connections, WARM, size)
    before = server.cpu()
    count, elapsed, p50, p99, errors = _wrk(server.port, request, connections, seconds, size)
    cpu = server.cpu() - before
    return _measurement(server, count, elapsed, cpu, (p50, p99), errors, start=start, idle=idle)


def measure_acts(server: Server, act: Act, *, seconds: float, connections: int = 32) -> Measurement:
    """The same for what is more than a request and its answer; always with our own client."""
    asyncio.run(hammer(server.port, act, connections, WARM))
    before, started = server.cpu(), time.perf_counter()
    times, errors = asyncio.run(hammer(server.port, act, connections, seconds))
    elapsed, cpu = time.perf_counter() - started, server.cpu() - before
    return _measurement(server, len(times), elapsed, cpu, percentiles(times), errors)


def _measurement(
    server: Server,
    count: int,
    elapsed: float,
    cpu: float,
    times: tuple[float, float],
    errors: int,
    **more: float,
) -> Measurement:
    return Measurement(
        per_second=count / elapsed,
        cpu=cpu / max(count, 1) * 1e6,
        p50=times[0],
        p99=times[1],
        errors=errors,
        memory=server.memory(),
        threads=server.threads(),
        **more,
    )


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile of seconds, in milliseconds."""
    if len(times) < 2:
        return (times[0] * 1e3,) * 2 if times else (0.0, 0.0)
    return statistics.median(times) * 1e3, statistics.quantiles(times, n=100)[98] * 1e3


def _wrk(
    port: int, request: Request, connections: int, seconds: float, size: int | None
) -> tuple[int, float, float, float, int]:
    """Run wrk; the number of answers, seconds, p50 and p99 in milliseconds, errors.

    wrk itself counts the statuses from 400 on. That the bodies are right is seen from their
    length: as the answer to the request never changes, nor does its length on the wire. To look
    at each body would cost more than the server's work.
    """
    assert WRK is not None
    with tempfile.NamedTemporaryFile() as file:
        lines = [request.path, *(f"{name}: {at}" for name, at in request.headers.items()), "", ""]
        file.write("\n".join(lines).encode() + request.body)
        file.flush()
        words = [WRK, "--threads", "1", "--connections", str(connections), "--latency"]
        words += ["--duration", f"{seconds:.0f}s" if seconds >= 1 else "1s", "--timeout", "30s"]
        words += ["--script", str(SCRIPT), f"http://127.0.0.1:{port}"]
        variables = {**os.environ, "BENCH_REQUEST": file.name}
        if request.in_session:
            variables["BENCH_ID"] = str(FIRST_ID)
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    count = found["requests"]
    errors = sum(found[kind] for kind in ("status", "connect", "read", "write", "timeout"))
    if size is not None and not errors:
        # At the end each connection may have read a part of an answer that does not count.
        beyond = abs(found["bytes"] - count * size) - connections * size
        errors += max(0, -(-beyond // size))
    return count, found["microseconds"] / 1e6, found["p50"] / 1e3, found["p99"] / 1e3, errors
