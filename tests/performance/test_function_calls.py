"""A call, a chat and a piece of a stream take no more function calls than limits.py says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from benchmarks.applications import echo_plain
from benchmarks.in_process import over_wsgi
from benchmarks.messages import echo
from mcp_mount import MCPServer
from tests.performance.counting import Count
from tests.performance.hosts import HOSTS
from tests.performance.limits import LIMITS, PIECE_LIMITS
from tests.performance.pieces import KINDS, PieceCount


@pytest.fixture(scope="module")
def counts() -> Mapping[str, Count]:
    """Counted in a process of its own, where no other test has left anything."""
    found = _printed("tests.performance.counting")
    return {name: Count(**count) for name, count in found.items()}


def _printed(module: str) -> dict[str, Any]:
    words = [sys.executable, "-m", module, "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    output = subprocess.check_output(words, env=environment, text=True, timeout=300)
    found: dict[str, Any] = json.loads(output)
    return found


def test_every_host_has_a_limit() -> None:
    assert set(LIMITS) == {name for name, host in HOSTS.items() if host.without is not None}


@pytest.mark.parametrize("name", LIMITS)
def test_a_call_takes_no_more_calls_of_ours_than_its_limit(
    counts: Mapping[str, Count], name: str
) -> None:
    limit, modules = LIMITS[name].ours, counts[name].modules
    assert counts[name].ours <= limit, f"{name}, see limits.py: {modules}"


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_lowered_when_a_call_has_become_cheaper(
    counts: Mapping[str, Count], name: str
) -> None:
    """What has been won would be lost again unnoticed."""
    limit, ours = LIMITS[name].ours, counts[name].ours
    assert limit <= ours * 1.25 + 3, f"{name} takes {ours} now: lower its limit in limits.py"


@pytest.mark.parametrize("name", LIMITS)
def test_a_call_makes_others_do_no_more_than_its_limit(
    counts: Mapping[str, Count], name: str
) -> None:
    without = HOSTS[name].without
    assert without is not None
    more = counts[name].others - counts[without].others
    assert more <= LIMITS[name].others, f"{name}, see limits.py"


@pytest.fixture(scope="module")
def piece_counts() -> Mapping[str, PieceCount]:
    """Counted in a process of its own."""
    found = _printed("tests.performance.pieces")
    return {name: PieceCount(**count) for name, count in found.items()}


@pytest.mark.parametrize("name", PIECE_LIMITS)
def test_a_piece_of_a_stream_takes_no_more_calls_than_its_limit(
    piece_counts: Mapping[str, PieceCount], name: str
) -> None:
    limit, count = PIECE_LIMITS[name], piece_counts[name]
    assert count.ours <= limit.ours, f"{name}, see limits.py"
    assert count.others <= limit.others, f"{name}, see limits.py"


def test_every_kind_of_stream_has_a_limit() -> None:
    assert set(PIECE_LIMITS) == set(KINDS)


def test_a_direct_call_takes_no_more_calls_with_a_backplane_than_without() -> None:
    counts = []
    for backplane in ("memory://", "redis://127.0.0.1:1/0"):
        server = MCPServer("shop", open=True, secret_key="k", backplane=backplane)
        server.tool(echo_plain)
        call = over_wsgi(server.wsgi, echo("echo_plain"), {})
        # The first requests say that the process serves, and note what their headers are.
        for _ in range(3):
            _taken(call)
        counts.append(_calls_of(lambda call=call: _taken(call)))
    assert counts[0] == counts[1]


def _taken(call: Callable[[], Awaitable[bytes]]) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        call().__await__().send(None)  # type: ignore[attr-defined]


def _calls_of(function: Callable[[], object]) -> Counter[str]:
    """The functions that are called, in Python and in C."""
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1
        elif event == "c_call":
            calls[argument.__qualname__] += 1

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls
