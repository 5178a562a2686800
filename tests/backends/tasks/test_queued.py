"""Tasks that a queue brings to workers: their state is where all processes see it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import MCPServer, SyncContext, TaskPolicy
from mcp_mount.backends.tasks.queued import QueuedTasks
from mcp_mount.calls.flows import Do
from mcp_mount.protocol import Protocol, Reply, Request
from mcp_mount.protocol.listener import Changes
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.task_board import TaskBoard
from mcp_mount.protocol.task_methods import Job
from mcp_mount.transports.driving import follow
from mcp_mount.transports.outbox import Outbox
from mcp_mount.transports.threads import PLAIN
from mcp_mount.transports.wsgi import WSGITransport
from tests.protocol.test_backplanes import Remote
from tests.requests import meta, stateless

SECONDS = 20
CAPABILITIES = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}


class Sure(BaseModel):
    sure: bool


class Queue:
    """Keeps jobs as text until a worker takes them."""

    def __init__(self, worker: MCPServer) -> None:
        self._worker = worker
        self.jobs: list[tuple[str, str]] = []
        self.revoked: list[str] = []
        self.is_down = False

    def submit(self, task_id: str, job: Job) -> Do[None]:
        def put() -> None:
            if self.is_down:
                raise OSError("the broker is away")
            self.jobs.append((task_id, json.dumps(asdict(job))))

        return Do(put)

    def revoke(self, task_id: str) -> None:
        self.revoked.append(task_id)

    def work(self, task_id: str, text: str) -> bool:
        """Run a job as a worker does; whether it has run."""
        core, job = self._worker.core, Job(**json.loads(text))
        run = core.protocol.run_of(job, Request("POST", {}, caller=lambda: job.caller))
        ended = follow(core.tasks.run(task_id, job, run))
        if ended is not None:
            ended.result(SECONDS)
        return ended is not None


class Shop:
    """A server that takes requests, and a worker that takes jobs."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        backplane = Remote()
        worker, front = self._server(backplane), self._server(backplane)
        self.queue = Queue(worker)
        peers = Peers(backplane, Outbox().put)
        protocol = Protocol(
            front.core.protocol.settings,
            front.registry,
            front.core.secret_keys,
            peers,
            Changes(peers),
            front.core._wait,
            QueuedTasks(self.queue, TaskBoard(peers, front.registry)),
        )
        self._transport = WSGITransport(protocol, PLAIN)

    def _server(self, backplane: Remote) -> MCPServer:
        server = MCPServer("shop", secret_key="k", open=True, backplane=backplane)

        @server.tool(task=TaskPolicy(ttl=60))
        def order(ctx: SyncContext, what: str) -> str:
            self.runs.append(what)
            ctx.report_progress(1, message="asking")
            answer = ctx.elicit("Sure?", Sure)
            return f"{what} {bool(answer.data and answer.data.sure)}"

        return server

    def send(self, method: str, params: dict[str, Any]) -> Reply:
        headers, body = stateless(method, {**params, "_meta": meta(capabilities=CAPABILITIES)})
        reply = self._transport.respond_to(Request("POST", headers, body))
        assert isinstance(reply, Reply)
        return reply

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        return json.loads(self.send(method, params).body)["result"]

    def start(self) -> str:
        made = self.ask("tools/call", {"name": "order", "arguments": {"what": "tea"}})
        task_id: str = made["taskId"]
        return task_id

    def task(self, task_id: str, status: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while (seen := self.ask("tasks/get", {"taskId": task_id}))["status"] != status:
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)
        return seen

    def answer(self, task_id: str) -> None:
        [key] = self.task(task_id, "input_required")["inputRequests"]
        accepted = {"action": "accept", "content": {"sure": True}}
        self.ask("tasks/update", {"taskId": task_id, "inputResponses": {key: accepted}})


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_worker_runs_a_task_that_any_process_tells_of_and_takes_answers_for(shop: Shop) -> None:
    task_id = shop.start()
    assert shop.ask("tasks/get", {"taskId": task_id})["status"] == "working"
    worker = threading.Thread(target=shop.queue.work, args=shop.queue.jobs[0])
    worker.start()
    shop.answer(task_id)
    seen = shop.task(task_id, "completed")
    assert seen["result"]["content"][0]["text"] == "tea True"
    worker.join(SECONDS)


def test_a_job_that_comes_twice_runs_once(shop: Shop) -> None:
    task_id = shop.start()
    worker = threading.Thread(target=shop.queue.work, args=shop.queue.jobs[0])
    worker.start()
    shop.task(task_id, "input_required")
    other = Queue(shop._server(shop.queue._worker.core._peers.states))  # type: ignore[arg-type]
    assert not other.work(*shop.queue.jobs[0])
    shop.answer(task_id)
    shop.task(task_id, "completed")
    worker.join(SECONDS)
    assert not other.work(*shop.queue.jobs[0])
    assert shop.runs == ["tea"]


def test_a_task_that_is_cancelled_before_a_worker_takes_it_never_runs(shop: Shop) -> None:
    task_id = shop.start()
    shop.ask("tasks/cancel", {"taskId": task_id})
    assert shop.ask("tasks/get", {"taskId": task_id})["status"] == "cancelled"
    assert shop.queue.revoked == [task_id]
    assert not shop.queue.work(*shop.queue.jobs[0])
    assert shop.runs == []


def test_a_task_that_runs_is_cancelled_where_it_runs(shop: Shop) -> None:
    task_id = shop.start()
    worker = threading.Thread(target=shop.queue.work, args=shop.queue.jobs[0])
    worker.start()
    shop.task(task_id, "input_required")
    shop.ask("tasks/cancel", {"taskId": task_id})
    shop.task(task_id, "cancelled")
    worker.join(SECONDS)


def test_a_queue_that_takes_no_job_is_a_503(shop: Shop) -> None:
    shop.queue.is_down = True
    reply = shop.send("tools/call", {"name": "order", "arguments": {"what": "tea"}})
    assert reply.status == 503
    assert dict(reply.headers)["retry-after"] == "1"
