"""Limits of tasks that hold for all processes of a server."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcp_mount import MCPServer, TaskLimits, TaskPolicy
from mcp_mount.calls.backplane import BackplaneNotAsked, BackplaneUnavailable
from mcp_mount.calls.flows import Do
from mcp_mount.tasks import run_task
from mcp_mount.testing import Client, RPCError
from tests.protocol.test_backplanes import Remote
from tests.valkey import Valkey

SECONDS = 20
PROCESSES = 3
WAITING = {"name": "wait", "arguments": {}}


class Queue:
    """Keeps payloads until a worker takes them."""

    def __init__(self) -> None:
        self.payloads: list[str] = []

    def submit(self, payload: str) -> None:
        self.payloads.append(payload)


def serving(backplane: Any, queue: Queue | None = None, name: str = "places", **limits: int) -> Any:
    server = MCPServer(
        name,
        secret_key="k",
        open=True,
        backplane=backplane,
        tasks=queue,
        task_limits=TaskLimits(**limits),
    )

    @server.tool(task=TaskPolicy(ttl=60))
    async def wait() -> str:
        await asyncio.sleep(SECONDS)
        return ""

    @server.tool(task=TaskPolicy(ttl=60))
    def write(size: int) -> str:
        return "x" * size

    @server.tool(task=TaskPolicy(ttl=60))
    async def write_async(size: int) -> str:
        return "x" * size

    return server


class Front:
    """Two processes that share a backplane, and a client of each."""

    def __init__(self, queue: Queue | None, **limits: int) -> None:
        self.queue = queue
        self.backplane = Remote()
        self.clients = [
            Client(serving(self.backplane, queue, **limits), tasks=True) for _ in range(2)
        ]

    def begin(self, process: int, tool: str = "wait", **arguments: Any) -> str:
        call = {"name": tool, "arguments": arguments}
        task_id: str = self.clients[process].request("tools/call", call)["taskId"]
        return task_id

    def work(self) -> None:
        """Run what waits for workers."""
        while self.queue is not None and self.queue.payloads:
            run_task(self.queue.payloads.pop(0))

    def ended(self, process: int, task_id: str) -> Any:
        self.work()
        until(lambda: self.get(process, task_id)["status"] not in ("working", "input_required"))
        return self.get(process, task_id)

    def members(self) -> list[Any]:
        return [one for pool in self.backplane.pools.values() for one in pool.values()]

    def get(self, process: int, task_id: str) -> Any:
        return self.clients[process].request("tasks/get", {"taskId": task_id})

    def cancel(self, process: int, task_id: str) -> None:
        self.clients[process].request("tasks/cancel", {"taskId": task_id})


@pytest.fixture(params=["here", "in workers"])
def front(request: pytest.FixtureRequest) -> Iterator[Any]:
    opened: list[Client] = []

    def make(**limits: int) -> Front:
        made = Front(Queue() if request.param == "in workers" else None, **limits)
        opened.extend(made.clients)
        for client in made.clients:
            client.__enter__()
        return made

    yield make
    for client in opened:
        client.__exit__(None, None, None)


def test_the_tasks_of_a_caller_count_in_all_processes(front: Any) -> None:
    till = front(tasks_per_caller=2)
    first, _ = till.begin(0), till.begin(1)
    for process in (0, 1):
        with pytest.raises(RPCError, match="too many tasks") as refused:
            till.begin(process)
        assert 0 < refused.value.data["retryAfter"] <= 60
    # One that has ended counts until its client has got the outcome.
    till.cancel(1, first)
    until(lambda: till.get(1, first)["status"] == "cancelled")
    till.begin(0)
    with pytest.raises(RPCError, match="too many tasks"):
        till.begin(1)


def test_the_tasks_of_a_server_count_in_all_processes(front: Any) -> None:
    till = front(tasks=2)
    till.begin(0)
    till.begin(1)
    for process in (0, 1):
        with pytest.raises(RPCError, match="No more tasks can be taken"):
            till.begin(process)


def test_a_task_that_makes_room_is_known_to_no_other_process_any_more(front: Any) -> None:
    till = front(tasks_per_caller=2)
    fetched = till.begin(0, "write", size=3)
    assert till.ended(1, fetched)["status"] == "completed"
    assert till.get(1, fetched)["status"] == "completed"
    till.begin(1)
    till.begin(1)
    with pytest.raises(RPCError, match="There is no such task, or it has expired"):
        till.get(1, fetched)
    assert f"t:{fetched}" not in till.backplane.records


def failing(
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    error: type[BaseException] = BackplaneUnavailable,
    *,
    is_done: bool,
) -> None:
    """Let an operation fail once, whether it is done, and its answer lost, or not."""
    operate = getattr(Remote, operation)

    def fail(self: Remote, *given: Any, **options: Any) -> Do[Any]:
        monkeypatch.setattr(Remote, operation, operate)

        def do() -> None:
            if is_done:
                operate(self, *given, **options).do()
            raise error

        async def awaited() -> None:
            do()

        return Do(do, awaited)

    monkeypatch.setattr(Remote, operation, fail)


@pytest.mark.parametrize("operation", ["enter", "note"])
@pytest.mark.parametrize("error", [BackplaneUnavailable, asyncio.CancelledError])
def test_a_task_that_may_have_been_noted_takes_no_place(
    front: Any, monkeypatch: pytest.MonkeyPatch, operation: str, error: type[BaseException]
) -> None:
    till = front(tasks_per_caller=1)
    failing(monkeypatch, operation, error, is_done=True)
    with pytest.raises((RPCError, asyncio.CancelledError)):
        till.begin(0)
    until(lambda: not till.backplane.records and not till.members())
    till.begin(1)


def test_nothing_is_taken_back_from_a_backplane_that_was_not_asked(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each call that comes while Redis is away would leave something to do afterwards."""
    till = front(tasks_per_caller=1)
    failing(monkeypatch, "enter", BackplaneNotAsked, is_done=True)
    with pytest.raises(RPCError, match="try again"):
        till.begin(0)
    with pytest.raises(RPCError, match="too many tasks"):
        till.begin(1)


def test_an_outcome_that_is_got_while_the_backplane_is_away_makes_room_afterwards(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = front(tasks_per_caller=1)
    task_id = till.begin(0, "write", size=3)
    failing(monkeypatch, "leave", is_done=False)
    assert till.ended(0, task_id)["status"] == "completed"
    until(lambda: all(one.may_go for one in till.members()))
    till.begin(1)


@pytest.mark.parametrize("tool", ["write", "write_async"])
@pytest.mark.parametrize("limit", ["result_bytes", "result_bytes_per_caller"])
def test_the_sizes_of_outcomes_count_in_all_processes(front: Any, tool: str, limit: str) -> None:
    # Text is in an outcome twice.
    till = front(**{limit: 8000})
    first = till.begin(0, tool, size=1500)
    second = till.begin(1, tool, size=1500)
    # No client has got these.
    for one in (first, second):
        wait_for_record(till, one)
    third = till.begin(1, tool, size=1500)
    seen = till.ended(1, third)
    assert seen["status"] == "failed"
    assert "more than is kept for your tasks" in seen["statusMessage"]
    # Those that are fetched make room.
    for one in (first, second):
        assert till.ended(0, one)["status"] == "completed"
    assert till.ended(1, till.begin(0, tool, size=1500))["status"] == "completed"


def wait_for_record(till: Front, task_id: str) -> None:
    """Wait until a task has ended, without asking for it."""
    till.work()
    until(lambda: "ended" in till.backplane.records[f"t:{task_id}"])


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def begin_many(url: str, barrier: Any, begun: Any) -> None:
    """In a process of its own: begin ten tasks as soon as the other processes do."""
    with Client(serving(url, tasks_per_caller=20), tasks=True) as client:
        client.list_tools()
        barrier.wait(SECONDS)
        count = 0
        for _ in range(10):
            try:
                client.request("tools/call", WAITING)
                count += 1
            except RPCError as error:
                if "too many tasks" not in str(error):
                    raise
        begun.put(count)


def test_processes_that_begin_tasks_at_once_begin_as_many_as_may_be() -> None:
    context = multiprocessing.get_context("spawn")
    with Valkey() as valkey:
        barrier, begun = context.Barrier(PROCESSES), context.Queue()
        processes = [
            context.Process(target=begin_many, args=(valkey.url, barrier, begun))
            for _ in range(PROCESSES)
        ]
        for one in processes:
            one.start()
        counts = [begun.get(timeout=60) for _ in processes]
        for one in processes:
            one.join(SECONDS)
    assert sum(counts) == 20
    assert [one.exitcode for one in processes] == [0] * PROCESSES
