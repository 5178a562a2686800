"""Tasks that no worker runs, of whatever cause: they fail, and their clients are told why."""

from __future__ import annotations

import json
import threading
import time
from itertools import count
from typing import Any

import pytest

from mcp_mount import MCPServer, TaskPolicy
from mcp_mount.backends.tasks.payloads import Payloads
from mcp_mount.calls.backplane import BEAT
from mcp_mount.protocol import Reply, Request, peers
from mcp_mount.tasks import run_task
from mcp_mount.transports.threads import PLAIN
from mcp_mount.transports.wsgi import WSGITransport
from tests.protocol.test_backplanes import OnALoop, Remote, find
from tests.requests import meta, stateless

SECONDS = 20
numbers = count()
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


class Queue:
    """Keeps payloads until a worker takes them, if ever."""

    def __init__(self, attempts: int = 1) -> None:
        self.attempts = attempts
        self.payloads: list[str] = []

    def submit(self, payload: str) -> None:
        self.payloads.append(payload)


class Desk:
    """A server that takes requests, and what stands for one in a worker.

    Args:
        begin_within: Of its tool.
        attempts: Of its queue.
    """

    def __init__(self, begin_within: float | None = None, *, attempts: int = 1) -> None:
        self.runs: list[int] = []
        self.queue = Queue(attempts)
        self.backplane = Remote()
        # Workers find servers by their names, and others of this module may still be there.
        self.name = f"desk {next(numbers)}"
        self.policy = TaskPolicy(ttl=60, begin_within=begin_within)
        self.front = self.server()
        self._transport = WSGITransport(self.front.core.protocol, PLAIN)

    def server(self) -> MCPServer:
        server = MCPServer(
            self.name, secret_key="k", backplane=self.backplane, tasks=self.queue, open=True
        )

        @server.tool(task=self.policy)
        def order(number: int) -> str:
            self.runs.append(number)
            return f"{number} teas"

        return server

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        headers, body = stateless(method, {**params, "_meta": meta(capabilities=TASKS)})
        reply = self._transport.respond_to(Request("POST", headers, body))
        assert isinstance(reply, Reply)
        return json.loads(reply.body)["result"]

    def begin(self) -> str:
        made = self.ask("tools/call", {"name": "order", "arguments": {"number": 2}})
        task_id: str = made["taskId"]
        return task_id

    def task(self, task_id: str) -> Any:
        return self.ask("tasks/get", {"taskId": task_id})

    def failure(self, task_id: str) -> str:
        """The message of a task, once it has failed."""
        deadline = time.monotonic() + SECONDS
        while (seen := self.task(task_id))["status"] != "failed":
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)
        assert seen["error"] == {"code": -32603, "message": seen["statusMessage"]}
        message: str = seen["statusMessage"]
        return message


def test_a_task_that_no_worker_begins_in_time_fails_and_never_runs() -> None:
    desk = Desk(begin_within=0.05)
    task_id = desk.begin()
    assert desk.failure(task_id) == "No worker began this task within 0.05 seconds"
    assert run_task(desk.queue.payloads[0])
    assert desk.runs == []


def test_a_worker_that_gets_a_task_too_late_lets_it_fail() -> None:
    desk = Desk(begin_within=0.05)
    task_id = desk.begin()
    time.sleep(0.06)
    assert run_task(desk.queue.payloads[0])
    assert desk.runs == []
    assert desk.failure(task_id) == "No worker began this task within 0.05 seconds"


def test_a_task_may_wait_for_half_of_its_time() -> None:
    desk = Desk()
    task_id = desk.begin()
    record = desk.backplane.record(f"t:{task_id}").do()
    assert (record["ttl"], record["begin"]) == ("60", "30.0")
    assert run_task(desk.queue.payloads[0])
    assert desk.task(task_id)["status"] == "completed"


def test_a_task_that_has_begun_in_time_may_take_longer() -> None:
    desk = Desk(begin_within=2)
    task_id = desk.begin()
    assert run_task(desk.queue.payloads[0])
    time.sleep(2.1)
    assert desk.task(task_id)["status"] == "completed"


def lose_worker(desk: Desk, task_id: str) -> None:
    """Let a worker take the task and be lost."""
    desk.backplane.records[f"t:{task_id}"].update(claim1="x", node="lost")


def test_a_task_whose_worker_is_lost_and_that_no_other_begins_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    desk = Desk(begin_within=2, attempts=2)
    task_id = desk.begin()
    lose_worker(desk, task_id)
    assert desk.task(task_id)["status"] == "working"
    assert desk.failure(task_id) == (
        "The worker that ran this task was lost, and no other began it within 2 seconds"
    )
    assert run_task(desk.queue.payloads[0])
    assert desk.runs == []


def test_a_worker_that_was_only_away_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    desk = Desk()
    task_id = desk.begin()
    lose_worker(desk, task_id)
    note = desk.backplane.note

    def end_before(key: str, *given: Any, **options: Any) -> Any:
        outcome = '"result":{"content":[]}'
        desk.backplane.records[key].update(status="completed", outcome=outcome, ended="1")
        return note(key, *given, **options)

    monkeypatch.setattr(desk.backplane, "note", end_before)
    seen = desk.task(task_id)
    assert (seen["status"], seen["result"]) == ("completed", {"content": []})


def test_a_task_whose_worker_is_lost_begins_again_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    desk = Desk(begin_within=2, attempts=2)
    task_id = desk.begin()
    lose_worker(desk, task_id)
    # It has waited for longer than that since it was made, and not since its worker was missed.
    time.sleep(2.1)
    assert desk.task(task_id)["status"] == "working"
    assert run_task(desk.queue.payloads[0])
    assert (desk.task(task_id)["status"], desk.runs) == ("completed", [2])


def test_who_listens_hears_of_a_task_that_nobody_begins() -> None:
    desk = Desk(begin_within=0.05)
    task_id = desk.begin()
    driver = OnALoop()
    try:
        wanted = {"notifications": {"taskIds": [task_id]}}
        headers, body = stateless(
            "subscriptions/listen", {**wanted, "_meta": meta(capabilities=TASKS)}
        )
        pieces = driver.start(desk.front, Request("POST", headers, body))
        find(pieces, "acknowledged")
        time.sleep(0.06)
        [hear] = [one for heard in desk.backplane._nodes.values() for one in heard]
        hear(BEAT)
        told = find(pieces, "notifications/tasks")
        assert '"status":"failed"' in told
        assert "No worker began this task" in told
        # Of a task that has ended nothing new is asked.
        desk.backplane.is_down = True
        hear(BEAT)
        desk.front.notify.close()
        while pieces.get(timeout=SECONDS) is not None:
            pass
    finally:
        driver.close()


def test_a_payload_of_another_version_fails_its_task_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    seal = Payloads.seal

    def sealed(self: Payloads, task: Any, job: Any, origin: Any) -> str:
        inner = self._sealer.seal

        def without_job(claims: Any) -> str:
            return inner({"task": claims["task"], "work": "of a later version"})

        with monkeypatch.context() as patch:
            patch.setattr(self._sealer, "seal", without_job)
            return seal(self, task, job, origin)

    monkeypatch.setattr(Payloads, "seal", sealed)
    task_id = desk.begin()
    assert run_task(desk.queue.payloads[0])
    assert desk.failure(task_id) == "The worker has another version of this server"
    assert "A payload of a task is refused: of another version" in caplog.text


def test_a_payload_whose_seal_does_not_hold_fails_no_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    task_id = desk.begin()
    [payload] = desk.queue.payloads
    envelope = json.loads(payload)
    assert run_task(json.dumps({**envelope, "sealed": envelope["sealed"][:-2] + "AA"}))
    assert run_task(json.dumps({**envelope, "server": "another"}))
    assert desk.task(task_id)["status"] == "working"
    assert "A payload of a task is refused: not sealed here" in caplog.text
    assert "A task is for the server 'another', which this worker has not made" in caplog.text
    assert run_task(payload)
    assert desk.task(task_id)["status"] == "completed"


def test_a_worker_without_the_tool_fails_the_task_at_once() -> None:
    desk = Desk()
    task_id = desk.begin()
    bare = MCPServer(desk.name, secret_key="k", backplane=desk.backplane, open=True)
    bare.core._worker.run(json.loads(desk.queue.payloads[0])["sealed"])
    assert "order" in desk.failure(task_id)


def test_a_worker_with_several_servers_of_a_name_fails_the_task_at_once() -> None:
    desk = Desk()
    task_id = desk.begin()
    other = desk.server()
    other.tool(name="other")(lambda: "x")
    payload = desk.queue.payloads[0]
    forged = {**json.loads(payload), "sealed": "x"}
    assert run_task(json.dumps(forged))
    assert desk.task(task_id)["status"] == "working"
    assert run_task(payload)
    assert desk.failure(task_id) == "The worker has several servers of this name"
    assert desk.runs == []


@pytest.mark.parametrize("seconds", [-600, 600])
def test_a_worker_with_another_clock_runs_a_task(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    desk = Desk()
    task_id = desk.begin()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    assert run_task(desk.queue.payloads[0])
    monkeypatch.undo()
    seen = desk.task(task_id)
    assert (seen["status"], desk.runs) == ("completed", [2])
    assert seen["createdAt"] <= seen["lastUpdatedAt"]


@pytest.mark.parametrize("seconds", [-600, 600])
def test_a_task_waits_for_a_worker_whatever_the_clock_of_who_looks(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(peers, "MISSING_SECONDS", 0.0)
    desk = Desk(begin_within=2, attempts=2)
    task_id, now = desk.begin(), time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + seconds)
        assert desk.task(task_id)["status"] == "working"
        lose_worker(desk, task_id)
        # By another clock than that of the next ones who look.
        assert desk.task(task_id)["status"] == "working"
    assert desk.task(task_id)["status"] == "working"
    assert "no other began it" in desk.failure(task_id)


def test_of_a_worker_and_who_gives_a_task_up_one_wins() -> None:
    """At the very moment when a task is overdue it runs, or fails: never both."""
    for _ in range(20):
        desk = Desk(begin_within=0.03)
        task_id = desk.begin()
        worker = threading.Thread(target=run_task, args=(desk.queue.payloads[0],))
        time.sleep(0.028)
        worker.start()
        while (seen := desk.task(task_id)["status"]) == "working":
            pass
        worker.join(SECONDS)
        assert (seen, len(desk.runs)) in {("completed", 1), ("failed", 0)}
        assert desk.task(task_id)["status"] == seen
