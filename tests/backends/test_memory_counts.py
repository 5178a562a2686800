"""Counts of throttles in this process: what they leave behind."""

from __future__ import annotations

import threading

import pytest

from mcp_mount import MCPServer, Throttle
from mcp_mount.backends import memory_counts
from mcp_mount.backends.stores import MemoryStore
from tests.requests import call


@pytest.mark.parametrize("strategy", ["moving-window", "fixed-window", "sliding-window-counter"])
def test_counting_starts_no_thread(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = MCPServer("tests", throttle=Throttle("1000/second", strategy=strategy))  # type: ignore[arg-type]
    server.tool(add)
    call(server, "add", {"a": 1, "b": 2})

    def refuse(thread: threading.Thread) -> None:
        raise AssertionError(f"{thread.name} was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(50):
        assert call(server, "add", {"a": 1, "b": 2})["content"][0]["text"] == "3"


def add(a: int, b: int) -> int:
    return a + b


@pytest.mark.parametrize("strategy", ["MovingWindow", "FixedWindow"])
def test_counts_that_are_over_are_swept(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from limits import parse, strategies

    moment = [1000.0]
    for name in ("time.time", "time.monotonic"):
        monkeypatch.setattr(name, lambda: moment[0])
    counts = memory_counts.MemoryCounts()
    limiter = getattr(strategies, f"{strategy}RateLimiter")(counts)
    for number in range(100):
        limiter.hit(parse("5/second"), str(number))
    assert len(counts.events) + len(counts.expirations) == 100
    moment[0] += 30
    assert limiter.hit(parse("5/second"), "new")
    assert len(counts.events) + len(counts.expirations) == 1
    # What counts still is left.
    for _ in range(4):
        assert limiter.hit(parse("5/second"), "new")
    moment[0] += 30
    assert limiter.hit(parse("5/hour"), "other")


def test_the_throttle_of_a_store_uses_it() -> None:
    limits = MemoryStore().limits("moving-window")
    assert isinstance(limits.limiter().storage, memory_counts.MemoryCounts)
