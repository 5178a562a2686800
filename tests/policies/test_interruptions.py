"""Functions that are interrupted at the end of their time: `Timeout(…, interrupt=True)`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mcp_mount import MCPServer, Timeout
from mcp_mount.policies import timeout
from mcp_mount.policies.timeout import limited
from mcp_mount.wire.errors import OutOfTime
from tests.policies.crowd import crowd

SECONDS = 60


def test_the_threads_of_64_interrupted_functions_are_free_again() -> None:
    server = MCPServer()

    @server.tool(timeout=Timeout(0.2, interrupt=True))
    def spin(forever: bool) -> str:
        while forever:
            pass
        return "in time"

    answers = crowd("wsgi", server, "spin", lambda number: {"forever": number % 16 == 0})
    took = "spin took longer than 0.2 seconds"
    # Others that are slow on so few cores may be interrupted as well, but none that has ended.
    assert [one.text for one in answers].count(f"{took} and was interrupted") >= 4
    assert {one.text for one in answers} <= {
        f"{took} and was interrupted",
        f"{took}: its result was dropped",
        "in time",
    }
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(
        thread.name == "mcp-mount-timeouts" for thread in threading.enumerate()
    ):
        time.sleep(0.1)
    assert not any(thread.name == "mcp-mount-timeouts" for thread in threading.enumerate())


def test_an_interruption_never_comes_too_late() -> None:
    """Functions that end just when their time does: the interruption stays within the call."""
    outcomes = {"in time": 0, "stopped": 0}
    for number in range(300):
        deadline = time.monotonic() + 0.002

        def work(end: float = deadline + (number % 20 - 10) * 0.0001) -> str:
            while time.monotonic() < end:
                pass
            return "in time"

        try:
            outcomes[limited(deadline, True, work)] += 1
        except OutOfTime:
            outcomes["stopped"] += 1
        for _ in range(100):
            pass
    assert sum(outcomes.values()) == 300
    assert min(outcomes.values()) > 0


# An interruption may come within the callback of the garbage collector that Hypothesis has set.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function gc_cumulative_time:"
    "pytest.PytestUnraisableExceptionWarning"
)
def test_interruptions_of_many_threads_at_any_line_leave_nothing_behind() -> None:
    """Also where one comes while another call within takes its locks."""
    escaped: list[BaseException] = []

    def work(seed: int) -> None:
        random = Random(seed)
        for number in range(300):
            deadline = time.monotonic() + 0.001
            end = deadline + (random.random() - 0.5) * 0.001

            def busy(end: float = end) -> None:
                while time.monotonic() < end:
                    pass

            def nested(busy: Any = busy) -> None:
                limited(time.monotonic() + random.random() * 0.002, True, busy)

            try:
                with suppress(OutOfTime):
                    limited(deadline, True, nested if number % 3 == 0 else busy)
                for _ in range(50):
                    pass
            except BaseException as error:
                escaped.append(error)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert escaped == []


STARTING = """
import itertools, sys, threading, time
from contextlib import suppress
from mcp_mount.policies.timeout import limited
from mcp_mount.wire.errors import OutOfTime

errors = []
threading.excepthook = lambda raised: errors.append(raised.exc_type)
may_end = threading.Event()
running = threading.Thread(target=may_end.wait, daemon=True)
running.start()
ended = itertools.count()


def start_and_look():
    while True:
        thread = threading.Thread(target=next, args=(ended,), daemon=True)
        thread.start()
        thread.is_alive()
        running.is_alive()
        running.join(0.0001)


def work():
    for _ in range(20):
        with suppress(OutOfTime):
            limited(time.monotonic() + 0.001, True, start_and_look)


threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
assert not any(thread.is_alive() for thread in threads)
assert next(ended) > 0
assert errors == []
assert running.is_alive()
"""


def test_interrupted_functions_may_start_threads_and_wait_for_them() -> None:
    """An interruption must not arrive in a thread that begins, nor make one seem to have ended."""
    # Of a process of its own: nothing has been interrupted there before.
    done = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def interrupted(seconds: float, function: Callable[[], Any]) -> None:
    with pytest.raises(OutOfTime):
        limited(time.monotonic() + seconds, True, function)


def compute() -> None:
    """Go on until an interruption."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass
    raise AssertionError("it was not interrupted")


def test_a_function_that_catches_its_interruption_is_interrupted_again() -> None:
    caught: list[BaseException] = []

    def stubborn() -> None:
        while True:
            try:
                compute()
            except BaseException as error:
                caught.append(error)
                if len(caught) == 3:
                    raise

    interrupted(0.01, stubborn)
    assert len(caught) == 3


def test_no_second_interruption_arrives_where_the_first_is_dealt_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would leave the call, and its watch would go on, at whatever the thread does next."""
    end = timeout._Watch.end

    def slow(watch: timeout._Watch) -> None:
        # As where others compute: the next interruption would come meanwhile.
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        end(watch)

    monkeypatch.setattr(timeout._Watch, "end", slow)
    monkeypatch.setattr(timeout, "_OWN", timeout._OWN | {slow.__code__})
    interrupted(0.01, compute)


def test_a_watch_whose_call_has_been_left_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(watch: timeout._Watch) -> None:
        """As if it had been interrupted: the watch is not told that its call has ended."""

    with monkeypatch.context() as patch:
        patch.setattr(timeout._Watch, "end", lost)
        limited(time.monotonic() + 1, True, lambda: None)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_python_drops_is_sent_again() -> None:
    class Slow:
        def __del__(self) -> None:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

    def work() -> None:
        Slow()
        compute()

    interrupted(0.01, work)


def test_both_of_two_calls_within_one_another_are_interrupted() -> None:
    def outer() -> None:
        with suppress(OutOfTime):
            # Both times are over when this has slept.
            limited(time.monotonic() + 0.01, True, lambda: time.sleep(1.5))
        compute()

    interrupted(1, outer)


FORKING = """
import logging, os, threading, time
from contextlib import suppress
from mcp_mount.policies.timeout import limited
from mcp_mount.wire.errors import OutOfTime


def forking():
    while True:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)


for _ in range(100):
    with suppress(OutOfTime):
        limited(time.monotonic() + 0.003, True, forking)
got = threading.Thread(target=logging.getLogger, args=["another"], daemon=True)
got.start()
got.join(20)
assert not got.is_alive()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_interruption_leaves_no_lock_of_a_fork_taken() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


IMPORTING = """
import sys, threading, time
from contextlib import suppress
from mcp_mount.policies.timeout import limited
from mcp_mount.wire.errors import OutOfTime


def work(number):
    def importing():
        while True:
            # Its lock is made and forgotten each time.
            sys.modules.pop(f"one{number}", None)
            __import__(f"one{number}")

    for _ in range(150):
        with suppress(OutOfTime, KeyError):
            limited(time.monotonic() + 0.002, True, importing)


threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
assert not any(thread.is_alive() for thread in threads)
import wave
"""


def test_an_interruption_leaves_no_lock_of_imports_taken(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"one{number}.py").write_text("x = 1\n")
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stderr) == (0, "")
