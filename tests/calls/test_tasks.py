"""What of a task can be declared, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import TaskLimits, TaskPolicy


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ttl": "1h"}, r"TaskPolicy\(ttl=…\) is a number of seconds above 0, not '1h'"),
        ({"ttl": 0}, "number of seconds above 0, not 0"),
        ({"ttl": float("inf")}, "number of seconds above 0, not inf"),
        ({"ttl": True}, "number of seconds above 0, not True"),
        ({"poll_interval": -1}, "poll_interval"),
        ({"begin_within": 0}, "begin_within"),
        ({"required": "yes"}, "True or False, not 'yes'"),
        ({"deferred": 1}, "True or False, not 1"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        TaskPolicy(**options)


@pytest.mark.parametrize(
    "options",
    [{"tasks": -1}, {"tasks": 0}, {"tasks_per_caller": "9"}, {"result_bytes": 1.5}],
)
def test_limits_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"TaskLimits\(.*\) is a number from 1 on"):
        TaskLimits(**options)
