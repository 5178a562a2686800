"""The event loop for coroutine handlers under WSGI: nothing that they raise ends it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from mcp_mount.transports import background
from sample_projects.processes import PYTHONPATH, ROOT


async def forty_two() -> int:
    await asyncio.sleep(0)
    return 42


async def raises(error: BaseException) -> None:
    raise error


async def gathers(error: BaseException) -> Any:
    return await asyncio.gather(raises(error), asyncio.sleep(60))


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()])
@pytest.mark.parametrize("coroutine", [raises, gathers])
def test_what_a_coroutine_raises_is_told_to_who_waits_and_the_loop_goes_on(
    coroutine: Any, error: BaseException
) -> None:
    same = background.loop()
    for _ in range(2):
        outcome, _cancel = background.spawn(coroutine(error))
        assert outcome.exception(20) is error
    assert background.spawn(forty_two())[0].result(20) == 42
    assert background.loop() is same


def test_who_waits_for_a_loop_that_has_ended_is_told_and_the_next_gets_a_new_one() -> None:
    ended = background.loop()

    async def end() -> None:
        # What nothing does: the thread of the loop ends with calls on it.
        ended.stop()
        ended.close = lambda: None  # type: ignore[method-assign]
        ended._closed = True  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    outcome, cancel = background.spawn(end())
    assert isinstance(outcome.exception(20), background.LoopEnded)
    cancel()
    assert background.loop() is not ended
    del ended.close
    ended._closed = False  # type: ignore[attr-defined]
    ended.close()
    assert background.spawn(forty_two())[0].result(20) == 42


PATCHED = """
from mcp_mount.transports import background
from gevent import monkey
monkey.patch_all()
import asyncio, gevent, time
"""

SERVED = """
served = []
async def slow():
    await asyncio.sleep(0.2)
    return await asyncio.to_thread(lambda: "slow")
def other():
    while not served:
        gevent.sleep(0.01)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        served.append("other")
gevent.spawn(other)
outcome, _ = background.spawn(slow())
served.append("begun")
print(outcome.result(20), served)
"""

BUSY_AT_THE_END = """
async def busy():
    while True:
        await asyncio.to_thread(time.sleep, 0)
for _ in range(8):
    background.spawn(busy())
print(background.spawn(asyncio.sleep(0.05, "begun"))[0].result(20))
"""


@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
@pytest.mark.parametrize(
    ("script", "printed"),
    [
        pytest.param(SERVED, "slow ['begun', 'other']\n", id="others are served meanwhile"),
        pytest.param(BUSY_AT_THE_END, "begun\n", id="the process ends while coroutines run"),
    ],
)
def test_under_gevent_the_loop_has_a_thread_and(script: str, printed: str, early: bool) -> None:
    lines = PATCHED.strip().splitlines()
    head = [*lines[1:3], lines[0], *lines[3:]] if early else lines
    environment = {"PYTHONPATH": PYTHONPATH}
    words = [sys.executable, "-c", "\n".join(head) + script]
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
