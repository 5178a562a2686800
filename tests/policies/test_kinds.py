"""What the objects that declare policies refuse when they are made, and not at the first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mcp_mount import DefinitionError, Telemetry, ToolsRouter
from mcp_mount.policies import Cache, MaxConcurrency, Throttle, Timeout

WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "a time": (lambda: Timeout(float("nan")), "timeout is a number of seconds above 0, not nan"),
    "an endless time": (lambda: Timeout(float("inf")), "timeout is a number of seconds above 0"),
    "an interruption": (lambda: Timeout(5, interrupt="no"), "interrupt is True or False, not 'no'"),
    "a wait": (lambda: MaxConcurrency(1, wait="x"), "wait is a number of seconds above 0, not 'x'"),
    "a negative wait": (lambda: MaxConcurrency(1, wait=-1), "wait is a number of seconds above 0"),
    "a strategy": (
        lambda: Throttle("1/hour", strategy="window"),
        "a throttle has no strategy 'window'; ",
    ),
    "a cost that is too high": (
        lambda: Throttle("5/minute; 2/second", cost=3),
        "cost is 3: no call would ever be within 2 per 1 second",
    ),
    "a cost": (lambda: Throttle("1/hour", cost="x"), "cost is a number from 1 on, not 'x'"),
    "the name of a count": (lambda: Throttle("1/hour", name=5), "name is a text, not 5"),
    "tags": (lambda: Cache(5, tags=5), "tags is a name, or a list of names, not 5"),
    "contents": (lambda: Telemetry(content="no"), "content is True or False, not 'no'"),
    "a face": (lambda: ToolsRouter(http="no"), "http is True or False, not 'no'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_of_another_kind_is_refused(case: str) -> None:
    make, words = WRONG[case]
    with pytest.raises(DefinitionError) as caught:
        make()
    assert words in str(caught.value)


def test_a_call_may_be_refused_at_once() -> None:
    assert MaxConcurrency(1, wait=0)
