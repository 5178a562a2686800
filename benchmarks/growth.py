"""The parts of a run that show how costs grow: tables and charts of the curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import curves
from benchmarks.charts import lines
from benchmarks.load import Measurement
from benchmarks.parts import Options, Page
from benchmarks.tables import number, table

_FIGURES = ("requests/s", "CPU µs", "p50 ms", "p99 ms", "errors", "MB")


def _figures(one: Measurement) -> tuple[object, ...]:
    shown = (number(one.per_second), number(one.cpu), number(one.p50), number(one.p99))
    return (*shown, one.errors, f"{one.memory:.0f}")


def concurrency(options: Options) -> Page:
    """More clients at the same time."""
    found = list(curves.concurrency(options.seconds))
    heads = ("application", "connections", *_FIGURES, "threads")
    rows = [
        (title, f"{count:,}", *_figures(one), f"{one.threads:.0f}") for title, count, one in found
    ]
    used, late = curves.by_name(found, "cpu"), curves.by_name(found, "p99")
    return Page(
        table(heads, rows),
        {
            "concurrency": lines("CPU time per request", used, "connections", "µs"),
            "concurrency-p99": lines("99th percentile", late, "connections", "ms"),
        },
    )


def workers(options: Options) -> Page:
    """More processes of a server."""
    found = curves.workers(options.seconds)
    rows = [(title, count, *_figures(one)) for title, count, one in found]
    return Page(table(("application", "workers", *_FIGURES), rows))


def tools(options: Options) -> Page:
    """More tools in a server."""
    found = list(curves.tools(options.seconds))
    heads = ("tools", "start s", "MB", "call, CPU µs", "list, CPU µs", "list, µs per tool")
    rows = [
        (
            f"{count:,}",
            f"{one.start:.2f}",
            f"{one.memory:.0f}",
            number(one.call.cpu),
            number(one.listed.cpu),
            number(one.listed.cpu / count),
        )
        for count, one in found
    ]
    curve = {
        "a call": [(count, one.call.cpu) for count, one in found],
        "the list of all tools": [(count, one.listed.cpu) for count, one in found],
    }
    return Page(table(heads, rows), {"tools": lines("CPU time per request", curve, "tools", "µs")})


def payload(options: Options) -> Page:
    """Larger messages."""
    found = list(curves.payload(options.seconds))
    rows = [
        (title, f"{size:,}", *_figures(one), number(one.cpu / size * 1e3))
        for title, size, one in found
    ]
    drawn = lines("CPU time per request", curves.by_name(found, "cpu"), "bytes", "µs")
    heads = ("payload", "bytes", *_FIGURES, "CPU µs per kB")
    return Page(table(heads, rows), {"payload": drawn})


def listening(options: Options) -> Page:
    """More clients that listen."""
    found = list(curves.listening())
    heads = (
        *("listeners", "kB each", "CPU µs to open each", "idle, % of a core"),
        *("all told after ms", "CPU µs to tell each", "a call meanwhile, ms"),
    )
    rows = [
        (
            f"{one.count:,}",
            number(one.memory),
            number(one.opening),
            f"{one.idle * 100:.1f}",
            number(one.told),
            number(one.telling),
            number(one.call),
        )
        for one in found
    ]
    curve = {"until all have heard": [(one.count, one.told) for one in found]}
    return Page(
        table(heads, rows),
        {"listeners": lines("A change is told to all listeners", curve, "listeners", "ms")},
    )


def overload(options: Options) -> Page:
    """More requests than can be answered."""
    found = list(curves.overloaded(options.seconds))
    heads = (
        *("requests wait in", "offered per s", "answered per s", "refused", "p50 ms", "p99 ms"),
        *("refusal, p99 ms", "errors"),
    )
    rows = [
        (
            title,
            f"{one.offered:,.0f}",
            number(one.answered),
            f"{one.refused:.0%}",
            number(one.p50),
            number(one.p99),
            number(one.refusal) if one.refused else "",
            one.errors,
        )
        for title, one in found
    ]
    curve: dict[str, list[tuple[float, float]]] = {}
    for title, one in found:
        curve.setdefault(title.replace("`", ""), []).append((one.offered, one.p99))
    return Page(
        table(heads, rows),
        {"overload": lines("99th percentile of the answers", curve, "offered per second", "ms")},
    )


SECTIONS: Mapping[str, Callable[[Options], Page]] = {
    "concurrency": concurrency,
    "workers": workers,
    "tools": tools,
    "payload": payload,
    "listeners": listening,
    "overload": overload,
}
"""By the name that selects them."""
