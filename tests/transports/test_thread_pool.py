"""The threads for plain functions: when they are made, and what happens to what they run."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from mcp_mount.transports import thread_pool
from mcp_mount.transports.thread_pool import ThreadPool

variable: ContextVar[str] = ContextVar("variable", default="outside")


def make(max_threads: int = 4) -> ThreadPool:
    return ThreadPool(max_threads, "test-pool")


def threads() -> int:
    return sum(thread.name == "test-pool" for thread in threading.enumerate())


def until(condition: Callable[[], Any]) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _threads_end(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(thread_pool, "_IDLE_SECONDS", 0.05)
    yield
    until(lambda: threads() == 0)


def test_a_function_runs_on_a_thread_in_the_context_of_its_caller() -> None:
    async def run() -> Any:
        variable.set("inside")
        name = await make().run(lambda: threading.current_thread().name)
        return name, await make().run(variable.get)

    assert asyncio.run(run()) == ("test-pool", "inside")


def test_who_waits_for_a_function_is_told_when_it_takes_long() -> None:
    async def run() -> Any:
        pool, end = make(), threading.Event()
        short = pool.start(lambda: "short", 20)
        long = pool.start(lambda: end.wait(20), 0.02)
        longer = pool.start(lambda: end.wait(20), 0.06)
        assert await short.future == ("short", None)
        told = await long.future, await longer.future
        end.set()
        return told, await long.future, await longer.future

    assert asyncio.run(run()) == ((None, None), (True, None), (True, None))


def test_one_timer_is_enough_for_all_deadlines() -> None:
    async def run() -> int:
        pool, end = make(8), threading.Event()
        loop = asyncio.get_running_loop()
        made: list[Any] = []
        own = loop.call_at

        def call_at(*args: Any, **kwargs: Any) -> Any:
            made.append(own(*args, **kwargs))
            return made[-1]

        loop.call_at = call_at  # type: ignore[method-assign]
        started = [pool.start(lambda: end.wait(20), seconds) for seconds in (5, 0.02, 3, 0.04)]
        await started[1].future
        await started[3].future
        end.set()
        await asyncio.gather(*(one.future for one in started))
        return sum(not timer.cancelled() and timer.when() > loop.time() for timer in made)

    assert asyncio.run(run()) <= 1


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_functions_that_outlive_their_loop_do_not_keep_it(seconds: float | None) -> None:
    pool, end = make(), threading.Event()

    async def run() -> Any:
        for _ in range(3):
            pool.start(lambda: end.wait(20), seconds)
        return weakref.ref(asyncio.get_running_loop())

    seen = asyncio.run(run())
    end.set()
    until(lambda: pool._busy == 0)

    def is_gone() -> bool:
        gc.collect()
        return seen() is None

    until(is_gone)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_function_raises_is_raised(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def run() -> Any:
        pool = make(1)
        try:
            await pool.run(fail)
        except BaseException as raised:
            # The thread goes on.
            return raised, await pool.run(lambda: 5)

    assert asyncio.run(run()) == (error, 5)


def test_stop_iteration_is_no_result() -> None:
    async def run() -> None:
        await make().run(lambda: next(iter(())))

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(run())


def test_threads_are_made_as_they_are_needed_and_no_more() -> None:
    async def run() -> list[int]:
        pool, counts = make(4), []
        for _ in range(3):
            await pool.run(lambda: None)
            counts.append(threads())
        gate = threading.Event()
        waiting = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(9)]
        while pool._busy < 4:
            await asyncio.sleep(0.005)
        counts.append(threads())
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 9
        return counts

    assert asyncio.run(run()) == [1, 1, 1, 4]


def test_functions_begin_in_their_order() -> None:
    async def run() -> list[int]:
        pool, order = make(1), []  # type: ignore[var-annotated]
        await asyncio.gather(*(pool.run(lambda n=n: order.append(n)) for n in range(50)))  # type: ignore[misc]
        return order

    assert asyncio.run(run()) == list(range(50))


def test_threads_that_ended_are_made_anew() -> None:
    async def run() -> int:
        pool = make()
        await pool.run(lambda: None)
        await asyncio.get_running_loop().run_in_executor(None, until, lambda: threads() == 0)
        return await pool.run(lambda: 7)

    assert asyncio.run(run()) == 7


def test_functions_that_come_while_threads_end_are_run() -> None:
    async def run() -> int:
        pool, done = make(3), 0
        for number in range(300):
            # About as long as a thread waits.
            await asyncio.sleep(0.0005 if number % 100 else 0.05)
            done += await pool.run(lambda: 1)
        return done

    assert asyncio.run(run()) == 300


def test_a_function_goes_on_when_its_caller_has_left() -> None:
    ended = threading.Event()
    gate = threading.Event()

    def work() -> None:
        gate.wait()
        ended.set()
        raise ValueError("nobody hears this")

    async def run() -> int:
        pool = make(1)
        task = asyncio.ensure_future(pool.run(work))
        while not pool._busy:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        return await pool.run(lambda: 3)

    assert asyncio.run(run()) == 3
    assert ended.is_set()


def test_a_loop_that_is_closed_takes_nothing_from_others() -> None:
    pool, gate, begun = make(1), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    loop = asyncio.new_event_loop()
    task = loop.create_task(pool.run(work))
    loop.run_until_complete(asyncio.sleep(0.01))
    begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    gate.set()
    assert asyncio.run(pool.run(lambda: 4)) == 4


def test_loops_share_the_threads_and_get_their_own_answers() -> None:
    pool = make(2)
    found: list[tuple[int, list[int]]] = []

    def use(number: int) -> None:
        async def run() -> None:
            every = [pool.run(lambda n=n: number * 1000 + n) for n in range(100)]  # type: ignore[misc]
            found.append((number, await asyncio.gather(*every)))

        asyncio.run(run())

    users = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert sorted(found) == [(n, [n * 1000 + m for m in range(100)]) for n in range(4)]


def test_a_loop_is_not_kept_alive() -> None:
    pool = make()
    for _ in range(3):
        asyncio.run(pool.run(lambda: None))
    until(lambda: threads() == 0)
    gc.collect()
    assert len(pool._answers) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_fork_has_threads_of_its_own() -> None:
    # In a process of its own, whose only other threads are those of the pool.
    code = """
import asyncio, os
from mcp_mount.transports.thread_pool import ThreadPool
pool = ThreadPool(2, "forked")
loop = asyncio.new_event_loop()
loop.run_until_complete(pool.run(lambda: None))
pid = os.fork()
if pid == 0:
    value = asyncio.run(pool.run(lambda: 5))
    os._exit(value)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300
    )
    assert (done.stdout.strip(), done.returncode) == ("5", 0), done.stderr


def test_the_end_of_a_process_waits_for_what_runs_and_not_for_idle_threads() -> None:
    code = """
import asyncio, time
from mcp_mount.transports.thread_pool import ThreadPool
pool = ThreadPool(2, "ending")
def work():
    time.sleep(0.3)
    print("done", flush=True)
async def main():
    await pool.run(lambda: None)
    task = asyncio.ensure_future(pool.run(work))
    await asyncio.sleep(0.05)
    task.cancel()
asyncio.run(main())
print("ending", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.stdout.split(), done.returncode) == (["ending", "done"], 0), done.stderr
