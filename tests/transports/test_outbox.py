"""Steps that nobody waits for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from mcp_mount.calls.backplane import BackplaneRefused, BackplaneUnavailable
from mcp_mount.calls.flows import Do
from mcp_mount.transports import outbox as outbox_module
from mcp_mount.transports.outbox import Outbox, finish_all
from sample_projects.processes import PYTHONPATH, ROOT
from tests.leftovers import give_up_messages

SECONDS = 20


class Steps:
    """Steps that note that they were taken."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.end = threading.Event()
        self.go_on = threading.Event()

    def note(self, number: int) -> Do[None]:
        async def awaited() -> None:
            self.taken.append(number)

        return Do(lambda: None, awaited)

    def last(self) -> Do[None]:
        return Do(self.end.set)

    def held(self) -> Do[object]:
        return Do(lambda: self.go_on.wait(SECONDS))


async def cancelled() -> None:
    raise asyncio.CancelledError


async def failing() -> None:
    raise OSError("unreachable")


async def endless() -> None:
    await asyncio.Event().wait()


def refusing() -> None:
    raise OSError("unreachable")


def never_taken() -> None:
    raise BackplaneRefused("WRONGTYPE")


@pytest.mark.parametrize(
    "bad",
    [
        Do(lambda: None, cancelled),
        Do(lambda: None, failing),
        Do(lambda: None, endless),
        Do(refusing),
        Do(never_taken),
    ],
    ids=["cancelled", "failing", "endless", "refusing", "never taken"],
)
def test_a_step_that_comes_to_nothing_holds_no_other(
    bad: Do[None], caplog: pytest.LogCaptureFixture
) -> None:
    outbox, steps = Outbox(step_seconds=0.2), Steps()
    for step in (steps.note(1), bad, steps.note(2), steps.last()):
        outbox.put(step)
    assert steps.end.wait(SECONDS)
    assert steps.taken == [1, 2]
    assert caplog.text.count("A message to other processes was given up") == 1


def test_the_log_says_that_steps_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    outbox, steps = Outbox(max_steps=3), Steps()
    begun = threading.Event()

    def hold() -> None:
        begun.set()
        steps.go_on.wait(SECONDS)

    outbox.put(Do(hold))
    assert begun.wait(SECONDS)
    for number in range(5):
        outbox.put(steps.note(number))
    assert "the oldest are dropped" in caplog.text
    steps.go_on.set()
    wait_until(lambda: "2 messages to other processes were dropped" in caplog.text or None)
    # The last one is put after the others were dropped.
    assert steps.taken == [2, 3, 4]


def test_the_end_of_a_process_waits_once_for_all_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(Outbox, "finish", lambda outbox, deadline: waited.append(deadline))
    servers = [Outbox() for _ in range(3)]
    finish_all()
    assert len(waited) >= len(servers)
    assert len(set(waited)) == 1


def test_a_backplane_that_stays_away_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox, is_back, tried, pauses = Outbox(), threading.Event(), threading.Event(), list[float]()

    def step() -> None:
        tried.set()
        if not is_back.is_set():
            raise BackplaneUnavailable

    outbox.put(Do(step))
    assert tried.wait(SECONDS)
    monkeypatch.setattr(outbox_module, "native_sleep", lambda seconds: pauses.append(seconds))
    outbox.finish(time.monotonic() + 0.2)
    assert pauses
    wait_until(lambda: outbox._is_unreachable)
    pauses.clear()
    outbox.finish(time.monotonic() + SECONDS)
    assert pauses == []
    is_back.set()
    wait_until(lambda: not outbox._is_sending)


@pytest.mark.parametrize("kind", ["is taken", "is tried again"])
def test_what_is_given_up_is_not_taken_again_nor_told_of(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, steps, tries = Outbox(), Steps(), list[int]()
    begun, ended = threading.Event(), threading.Event()

    async def taken() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def away() -> None:
        tries.append(len(tries))
        begun.set()
        raise BackplaneUnavailable

    outbox.put(Do(away) if kind == "is tried again" else Do(lambda: None, taken))
    outbox.put(steps.note(1))
    assert begun.wait(SECONDS)
    give_up_messages()
    assert not outbox.is_sending
    assert kind == "is tried again" or ended.wait(SECONDS)
    tried = len(tries)
    outbox.put(steps.note(2))
    outbox.put(steps.last())
    assert steps.end.wait(SECONDS)
    assert (steps.taken, len(tries)) == ([2], tried)
    assert caplog.records == []


def wait_until(find: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(SECONDS * 100):
        if find():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_does_not_take_the_steps_of_its_parent() -> None:
    outbox, steps = Outbox(), Steps()
    outbox.put(steps.held())
    outbox.put(steps.note(1))
    child = os.fork()
    if child == 0:
        outbox.put(steps.note(2))
        outbox.put(steps.last())
        ended = steps.end.wait(SECONDS)
        os._exit(0 if ended and steps.taken == [2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    steps.go_on.set()
    outbox.put(steps.last())
    assert steps.end.wait(SECONDS)
    assert steps.taken == [1]


UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import asyncio, gevent, signal, time
from mcp_mount.calls.flows import Do
from mcp_mount.transports import background
from mcp_mount.transports.outbox import Outbox
background.loop()
taken = []
async def take():
    await asyncio.sleep(0.1)
    taken.append("taken")
def end(*_):
    outbox = Outbox()
    outbox.put(Do(lambda: None, take))
    outbox.finish(time.monotonic() + 20)
    print(taken)
signal.signal(signal.SIGTERM, end)
gevent.get_hub().loop.run_callback(signal.raise_signal, signal.SIGTERM)
gevent.sleep(0.2)
"""


def test_under_gevent_a_signal_handler_may_wait_for_steps() -> None:
    """It runs where no greenlet may wait, if nothing else was to be done."""
    words = [sys.executable, "-c", UNDER_GEVENT]
    environment = {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "['taken']\n", "")
