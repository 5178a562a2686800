"""Counts the calls of functions that one call to a tool makes, on each host.

    python -m tests.performance.counting              # a table
    python -m tests.performance.counting "in Flask"   # each function of one host

Counted are functions in Python, and each time that a generator or coroutine goes on, on all
threads. Functions in C are not counted, and neither are comprehensions, which are functions up to
Python 3.11 only. So a count depends on the code alone, not on the machine or on what else it does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

from tests.performance.hosts import HOSTS, Host

ROUNDS = 7
PAUSE = 0.01

_COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>"}

Calls = Counter[tuple[str, str]]
"""How often each function was called, by module and name."""


@dataclass(frozen=True)
class Count:
    """The calls of one request.

    Attributes:
        ours: Of functions of mcp-mount.
        others: Of all other functions: the framework's, the standard library's.
        modules: Of functions of each module of mcp-mount.
    """

    ours: int
    others: int
    modules: Mapping[str, int]


class Counting:
    """Counts calls on this thread, and on all those that start later."""

    def __init__(self) -> None:
        self._calls: Calls | None = None
        threading.setprofile(self._profile)

    def calls_of(self, function: Callable[[], object]) -> Calls:
        calls: Calls = Counter()
        self._calls = calls
        sys.setprofile(self._profile)
        try:
            function()
        finally:
            sys.setprofile(None)
            self._calls = None
        return calls

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        calls, code = self._calls, frame.f_code
        if event == "call" and calls is not None and code.co_name not in _COMPREHENSIONS:
            module = frame.f_globals["__name__"]
            # Neither what sends the request, nor the tool.
            if not module.startswith("tests.") and module != "__main__":
                calls[module, getattr(code, "co_qualname", code.co_name)] += 1


def calls_of(host: Host, counting: Counting) -> Calls:
    """The calls of a request after the first two: the fewest of several.

    Threads may find their work in one round or in two, so it is the smallest of a few counts.
    """
    send = host.make()
    assert b"hello" in send(2)
    found = []
    for _ in range(ROUNDS):
        # Threads finish what is left of the request before.
        time.sleep(PAUSE)
        found.append(counting.calls_of(lambda: send(1)))
    return min(found, key=lambda calls: sum(calls.values()))


def count_all() -> dict[str, Count]:
    """The calls on each host."""
    counting = Counting()
    counts = {}
    for name, host in HOSTS.items():
        calls = calls_of(host, counting)
        modules: Counter[str] = Counter()
        for (module, _), number in calls.items():
            if module.startswith("mcp_mount"):
                modules[module] += number
        ours = sum(modules.values())
        counts[name] = Count(ours, sum(calls.values()) - ours, dict(modules))
    return counts


def main() -> None:
    if sys.argv[1:] == ["--json"]:
        print(json.dumps({name: asdict(count) for name, count in count_all().items()}))
    elif sys.argv[1:]:
        calls = calls_of(HOSTS[sys.argv[1]], Counting())
        for (module, name), number in sorted(calls.items()):
            print(f"{number:>5}  {module}  {name}")
    else:
        counts = count_all()
        print(f"{'':30}{'ours':>6}{'others':>8}{'more than without':>20}")
        for name, count in counts.items():
            without = HOSTS[name].without
            more = count.others - counts[without].others if without else ""
            print(f"{name:30}{count.ours:>6}{count.others:>8}{more:>20}")


if __name__ == "__main__":
    main()
