"""What `make bench` measures starts, and answers as it says: once each, nothing is timed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import backplane, charts, listeners, load, memory, overload, pages, policies, rounds
from benchmarks.client import Connection, prepare
from benchmarks.messages import call
from benchmarks.parts import Page
from benchmarks.sections import SECTIONS
from benchmarks.servers import Server, serving
from benchmarks.targets import APPLICATIONS, CHOICES, TARGETS, Target
from benchmarks.work import WORKS, Work

# The other choices are applications of the first table with other options.
NEW = [one for one in CHOICES if one.factory not in {target.factory for target in TARGETS}]


@pytest.mark.parametrize("target", [*TARGETS, *NEW], ids=lambda target: target.name)
def test_a_target_answers_the_call_that_is_measured(target: Target) -> None:
    with serving(target.server, target.factory) as server:
        _, response = asyncio.run(prepare(server.port, target.request))
        assert response.status == 200
        assert server.memory() > 10
        assert server.cpu() > 0


@pytest.fixture(scope="module")
def working() -> Iterator[Server]:
    with serving("uvicorn", APPLICATIONS + "work") as server:
        yield server


@pytest.mark.parametrize(
    "work", [one for one in WORKS if one.factory == "work"], ids=lambda work: work.title
)
def test_a_kind_of_work_is_done(work: Work, working: Server) -> None:
    async def once() -> bool:
        if work.request is not None:
            await prepare(working.port, work.request)
            return True
        assert work.act is not None
        act = await work.act(working.port)
        connection = await Connection.open(working.port)
        try:
            return await act(connection)
        finally:
            connection.close()

    assert asyncio.run(once())


def test_listeners_hear_of_a_change(working: Server) -> None:
    found = asyncio.run(listeners.measure(working, 3))
    assert found.count == 3
    assert found.told > 0


def test_who_waits_too_long_in_an_overloaded_pool_is_refused(working: Server) -> None:
    found = asyncio.run(overload.measure(working.port, call("shed"), 1_600, 0.25))
    assert found.refused > 0
    assert not found.errors


def test_a_list_of_many_tools_is_whole() -> None:
    [work] = [one for one in WORKS if "200 tools" in one.title]
    assert work.request is not None
    with serving("uvicorn", APPLICATIONS + work.factory, environment=work.environment) as server:
        _, response = asyncio.run(prepare(server.port, work.request))
    assert response.body.count(b'"inputSchema"') == 200


def test_rounds_count_answers_and_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WRK", None)
    monkeypatch.setattr(load, "WARM", 0.05)
    target = TARGETS[1]
    # On a busy machine no answer may come in the first of these times.
    for seconds in (0.2, 2.0, 20.0):
        found = rounds.measure([target], 1, seconds)[target.name]
        if found.per_second:
            break
    assert found.per_second > 0
    assert found.p99 >= found.p50 > 0
    assert found.errors == 0


@pytest.mark.parametrize("name", policies.VARIANTS)
def test_the_tool_with_a_policy_answers(name: str) -> None:
    server = policies.build(*policies.VARIANTS[name])
    policies.over_wsgi(server)()
    asyncio.run(policies.over_asgi(server)())


def test_the_server_whose_memory_is_measured_answers() -> None:
    with memory.serving("asgi", memory.HERE.parent) as server:
        assert server.vitals()["listeners"] == 0


def test_what_a_backplane_costs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backplane, "BLOCK", 2)
    monkeypatch.setattr(backplane, "BLOCKS", 1)
    # It matters to what connections take of memory, which is not looked at here.
    monkeypatch.setattr(backplane, "_LEAVING_SECONDS", 0)
    with backplane.valkey() as client:
        found = list(backplane.latencies(client.url, 1))
        kept = list(backplane.kept(client, 0.001))
        processes = backplane.processes(client, 0.01)
    assert len(found) == 12
    assert all(one.shared > 0 for *_, one in found)
    # With a task there are two keys for the places of all tasks, and two for those of its caller.
    assert [one.keys for one in kept] == [0, 1, 1, 2, 1 + 4]
    assert processes.busy >= processes.idle >= 1


def test_the_page_has_a_place_for_each_part() -> None:
    text = pages.FILE.read_text()
    assert all(pages.marks(name)[0] in text for name in SECTIONS)


def test_a_part_is_replaced_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FILE", tmp_path / "performance.md")
    monkeypatch.setattr(pages, "CHARTS", tmp_path / "performance")
    begin, end = pages.marks("work")
    pages.FILE.write_text(f"before\n{begin}old\n{end}\nafter\n")
    pages.write("work", Page("| new |\n", {"drawn": "<svg/>"}), "Measured here.\n")
    written = pages.FILE.read_text()
    assert "old" not in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "![drawn](performance/drawn.svg)" in written
    assert (pages.CHARTS / "drawn.svg").read_text() == "<svg/>"


def test_charts_are_well_formed() -> None:
    bars = charts.bars("A & B", [("one", [1.0, 2.0])], ["x", "y"], "µs")
    lines = charts.lines("A", {"one": [(1, 2), (1_000, 3)], "none": [(0, 1)]}, "x", "ms")
    for drawn in (bars, lines):
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
