"""The targets under load: rounds in which each target has its turn, and medians over the rounds.

What disturbs the machine for a while then disturbs all targets, not one.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Sequence
from dataclasses import fields

from benchmarks import load
from benchmarks.client import prepare
from benchmarks.load import Measurement
from benchmarks.servers import pinned_beside, serving
from benchmarks.targets import Target


def measure(targets: Sequence[Target], rounds: int, seconds: float) -> dict[str, Measurement]:
    """Measure each target once a round, each time in a new process; by name, the medians."""
    found: dict[str, list[Measurement]] = {target.name: [] for target in targets}
    for number in range(rounds):
        for target in targets:
            one = once(target, seconds)
            found[target.name].append(one)
            print(
                f"round {number + 1}: {target.name:22}{one.per_second:>9,.0f}/s{one.cpu:>9.0f} µs"
                f"{one.p50:>8.2f} ms{one.p99:>8.2f} ms{one.errors:>5} errors",
                file=sys.stderr,
                flush=True,
            )
    return {name: median(some) for name, some in found.items()}


def once(target: Target, seconds: float) -> Measurement:
    """Start the server of a target, check its answer, measure it."""
    python = target.peer.python() if target.peer else sys.executable
    with (
        pinned_beside(1),
        serving(
            target.server,
            target.factory,
            python=python,
            options=target.options,
            ready=lambda port: asyncio.run(prepare(port, target.request)),
        ) as server,
    ):
        idle = server.memory()
        return load.measure(server, target.request, seconds=seconds, start=server.start, idle=idle)


def median(measurements: Sequence[Measurement]) -> Measurement:
    """The median of each figure; the sum of the errors."""
    columns = {
        field.name: statistics.median(getattr(one, field.name) for one in measurements)
        for field in fields(Measurement)
    }
    errors = sum(one.errors for one in measurements)
    return Measurement(**{**columns, "errors": errors})
