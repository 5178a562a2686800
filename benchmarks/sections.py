"""The parts of a whole run; each measures and returns its tables and its charts.

To measure something else, write a function and add it to `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import growth, in_process, memory, models, policies, rounds, starting
from benchmarks import work as works
from benchmarks.backplane import backplane
from benchmarks.charts import bars
from benchmarks.parts import Options, Page
from benchmarks.signing_in import signing_in
from benchmarks.tables import number, table
from benchmarks.targets import CHOICES, LIMIT

OURS = "mcp-mount"


def targets(options: Options) -> Page:
    """Requests per second and what they cost, each target on one core."""
    found = rounds.measure(options.targets, options.rounds, options.seconds)
    # Compared by CPU time: the server's core is full, so that the requests per second have the same
    # ratio if nothing else runs, and another if something does.
    limit = found.get(LIMIT)
    rows = []
    for target in options.targets:
        one = found[target.name]
        view = found.get(target.view or "")
        rows.append(
            (
                target.title,
                number(one.per_second),
                f"{limit.cpu / one.cpu:.2f}" if limit else "",
                f"{view.cpu / one.cpu:.2f}" if view else "",
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
                OURS,
            ),
            "cpu": bars(
                "CPU time per request",
                [(title, [found[name].cpu]) for title, name in shown],
                [""],
                "µs, less is better",
                OURS,
            ),
        },
    )


def choices(options: Options) -> Page:
    """Web servers, loops, threads and kinds of functions."""
    found = rounds.measure(CHOICES, options.rounds, options.seconds)
    rows = [
        (
            target.title,
            number(one.per_second),
            number(one.cpu),
            number(one.p50),
            number(one.p99),
            one.errors,
            f"{one.memory:.0f}",
            f"{one.threads:.0f}",
        )
        for target in CHOICES
        for one in (found[target.name],)
    ]
    heads = ("choice", "requests/s", "CPU µs", "p50 ms", "p99 ms", "errors", "MB", "threads")
    return Page(table(heads, rows))


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
        OURS,
    )
    return Page(table(heads, rows), {"inside": chart})


def start(options: Options) -> Page:
    """Imports, and Django's checks."""
    found = starting.measure(options.rounds)
    rows = [
        (title, f"{seconds:.2f}", f"{cpu:.2f}", f"{memory:.0f}")
        for title, (seconds, cpu, memory) in found.items()
    ]
    return Page(table(("in a new process", "seconds", "CPU seconds", "MB"), rows))


def work(options: Options) -> Page:
    """Kinds of work besides the small call."""
    found = works.measure(works.WORKS, options.rounds, options.seconds)
    heads = ("work", "per second", "CPU µs", "p50 ms", "p99 ms", "errors", "MB", "threads")
    rows = [
        (
            one.title,
            number(figures.per_second),
            number(figures.cpu),
            number(figures.p50),
            number(figures.p99),
            figures.errors,
            f"{figures.memory:.0f}",
            f"{figures.threads:.0f}",
        )
        for one, figures in zip(works.WORKS, found, strict=True)
    ]
    return Page(table(heads, rows))


def around(options: Options) -> Page:
    """What each policy adds to a call."""
    found = policies.measure()
    nothing = found["nothing"]
    rows = [
        (name, *(f"{times[face] - nothing[face]:+.1f}" for face in ("wsgi", "asgi")))
        for name, times in found.items()
        if name != "nothing"
    ]
    first = ("nothing around (the whole call)", *(f"{nothing[face]:.1f}" for face in nothing))
    return Page(table(("µs per call", "`def`, WSGI", "`async def`, ASGI"), [first, *rows]))


def kept(options: Options) -> Page:
    """What clients that ask for much leave in memory."""
    return Page(table(memory.HEADS, list(memory.measure(seconds=10 * options.seconds))))


def of_models(options: Options) -> Page:
    """A chat beside a call of a tool, and a piece of a streamed answer."""
    found = models.measure()
    chats = [
        (host, f"{call:.1f}", f"{chat:.1f}", f"{ratio:.2f}")
        for host, (call, chat, ratio) in found.chats.items()
    ]
    pieces = [
        (name, f"{whole:.1f}", f"{bare:.1f}", f"{max(0.0, whole - bare):.1f}")
        for name, (whole, bare) in found.pieces.items()
    ]
    heads = ("host, CPU µs", "a tool call", "a chat", "of the tool call")
    more = ("piece of a stream, CPU µs", "whole", "waiting itself", "ours")
    return Page(f"{table(heads, chats)}\n{table(more, pieces)}")


SECTIONS: Mapping[str, Callable[[Options], Page]] = {
    "targets": targets,
    "inside": inside,
    "choices": choices,
    "start": start,
    "work": work,
    "policies": around,
    "signing-in": signing_in,
    "backplane": backplane,
    "models": of_models,
    **growth.SECTIONS,
    "memory": kept,
}
"""By the name that selects them (`ONLY=`)."""
