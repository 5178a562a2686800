"""The parts of a whole run; each measures and returns its tables and its charts.

To measure something else, write a function and add it to `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import in_process, rounds
from benchmarks.charts import bars
from benchmarks.tables import number, table
from benchmarks.targets import LIMIT, Target


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        targets: The targets to measure.
        rounds: How many rounds.
        seconds: How long one measurement takes.
    """

    targets: Sequence[Target]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Page:
    """What a part has measured.

    Attributes:
        text: Markdown.
        charts: SVG, by the name of the file without its ending.
    """

    text: str
    charts: Mapping[str, str] = field(default_factory=dict)


def targets(options: Options) -> Page:
    """Requests per second and what they cost, each target on one core."""
    found = rounds.measure(options.targets, options.rounds, options.seconds)
    limit = found.get(LIMIT)
    rows = []
    for target in options.targets:
        one = found[target.name]
        view = found.get(target.view or "")
        rows.append(
            (
                target.title,
                number(one.per_second),
                f"{one.per_second / limit.per_second:.2f}" if limit else "",
                f"{one.per_second / view.per_second:.2f}" if view else "",
                number(one.cpu),
                number(one.p50),
                number(one.p99),
                one.errors,
                f"{one.start:.2f}",
                f"{one.idle:.0f}",
                f"{one.memory:.0f}",
                f"{one.threads:.0f}",
            )
        )
    heads = (
        *("target", "requests/s", "of the limit", "of the view", "CPU µs", "p50 ms", "p99 ms"),
        *("errors", "start s", "MB idle", "MB after", "threads"),
    )
    shown = [(target.title.replace("`", ""), target.name) for target in options.targets]
    return Page(
        table(heads, rows),
        {
            "requests": bars(
                "Requests per second, one core",
                [(title, [found[name].per_second]) for title, name in shown],
                [""],
                "more is better",
            ),
            "cpu": bars(
                "CPU time per request",
                [(title, [found[name].cpu]) for title, name in shown],
                [""],
                "µs, less is better",
            ),
        },
    )


def inside(options: Options) -> Page:
    """What a request costs within the application, without a web server."""
    some = [target for target in options.targets if target.peer is None]
    found = in_process.measure(some)
    heads = ("target", "warm µs", "cold µs", "Python calls", "C calls")
    rows = [
        (target.title, number(one.warm), number(one.cold), one.calls, one.c_calls)
        for target in some
        for one in (found[target.name],)
    ]
    chart = bars(
        "One request in the application",
        [
            (target.title.replace("`", ""), [found[target.name].warm, found[target.name].cold])
            for target in some
        ],
        ("warm", "cold"),
        "µs, less is better",
    )
    return Page(table(heads, rows), {"inside": chart})


SECTIONS: Mapping[str, Callable[[Options], Page]] = {"targets": targets, "inside": inside}
"""By the name that selects them (`ONLY=`)."""
