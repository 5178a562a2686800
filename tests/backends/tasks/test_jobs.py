"""Tasks that another process runs: their jobs are plain data."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from mcp_mount import MCPServer, SyncContext, TaskPolicy
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.calls.flows import Do
from mcp_mount.calls.tasks import Task
from mcp_mount.protocol import Protocol, Reply, Request
from mcp_mount.protocol.listener import Changes
from mcp_mount.protocol.peers import Peers
from mcp_mount.protocol.task_methods import Job, TaskRun
from mcp_mount.testing import Client
from mcp_mount.transports.driving import drive
from mcp_mount.transports.threads import PLAIN
from mcp_mount.transports.wsgi import WSGITransport
from mcp_mount.wire.errors import ProtocolError
from tests.requests import meta, stateless

TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
SECONDS = 20


class Elsewhere:
    """A queue of jobs as JSON, and a worker that has the text alone, and a server of its own."""

    def __init__(self, worker: MCPServer) -> None:
        self._worker = worker
        self._tasks: dict[str, Task] = {}

    def _step(self, do: Callable[[], Any]) -> Do[Any]:
        return Do(do)

    def start(self, job: Job, run: TaskRun) -> Do[Task]:
        text = json.dumps(asdict(job))

        def begin() -> Task:
            task = Task(
                f"task-{len(self._tasks)}", job.ttl, job.poll_interval, job.caller, job.quota
            )
            task.tool = job.tool
            self._tasks[task.id] = task
            threading.Thread(target=self._work, args=(task.id, text)).start()
            return task

        return self._step(begin)

    def _work(self, task_id: str, text: str) -> None:
        job = Job(**json.loads(text))
        request = Request("POST", {}, caller=lambda: job.caller)
        run = self._worker.core.protocol.run_of(job, request)
        drive(run.call, PLAIN)
        status, outcome = run.outcome(run.call)
        self._tasks[task_id] = replace(self._tasks[task_id], status=status, outcome=outcome)

    def get(self, task_id: str) -> Do[Task | None]:
        return self._step(lambda: self._tasks.get(task_id))

    def delivered(self, task: Task) -> Do[None]:
        return self._step(lambda: None)

    def answer(self, task: Task, responses: Mapping[str, Any]) -> Do[None]:
        return self._step(lambda: None)

    def cancel(self, task: Task) -> Do[None]:
        return self._step(lambda: None)


def make() -> MCPServer:
    server = MCPServer("shop", secret_key="k", open=True)

    @server.tool(task=TaskPolicy(ttl=60, poll_interval=0.5), throttle="100/minute")
    def total(prices: list[int], currency: str = "EUR") -> str:
        if not prices:
            raise ValueError("nothing to add")
        return f"{sum(prices)} {currency}"

    return server


class Front:
    """A server whose tasks run elsewhere."""

    def __init__(self) -> None:
        server = make()
        peers = Peers(MemoryBackplane(), lambda step: None)
        protocol = Protocol(
            server.core.protocol.settings,
            server.registry,
            server.core.secret_keys,
            peers,
            Changes(peers),
            server.core._wait,
            Elsewhere(make()),
        )
        self._transport = WSGITransport(protocol, PLAIN)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        headers, body = stateless(method, {**params, "_meta": meta(capabilities=TASKS)})
        reply = self._transport.respond_to(Request("POST", headers, body))
        assert isinstance(reply, Reply)
        return json.loads(reply.body)["result"]

    def outcome(self, arguments: dict[str, Any]) -> Any:
        task = self.ask("tools/call", {"name": "total", "arguments": arguments})
        assert (task["resultType"], task["ttlMs"], task["pollIntervalMs"]) == ("task", 60_000, 500)
        deadline = time.monotonic() + SECONDS
        while (seen := self.ask("tasks/get", {"taskId": task["taskId"]}))["status"] == "working":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return seen


def test_a_job_runs_in_a_process_that_has_its_text_alone() -> None:
    seen = Front().outcome({"prices": [3, 4], "currency": "USD"})
    assert (seen["status"], seen["result"]["content"][0]["text"]) == ("completed", "7 USD")


def test_a_job_that_fails_elsewhere_says_so() -> None:
    seen = Front().outcome({"prices": []})
    assert (seen["status"], seen["result"]["isError"]) == ("completed", True)


def test_a_throttled_handler_that_starts_a_task_by_itself_has_its_arguments() -> None:
    server = MCPServer("shop", secret_key="k", open=True)

    @server.tool(task=TaskPolicy(deferred=True), throttle="100/minute")
    def total(prices: list[int], ctx: SyncContext) -> str:
        ctx.start_task()
        return str(sum(prices))

    with Client(server, tasks=True) as client:
        assert client.call_tool("total", {"prices": [3, 4]}).text == "7"


class Broken(Exception): ...


def test_a_job_elsewhere_fails_in_the_words_of_the_host() -> None:
    server = MCPServer(
        "shop",
        secret_key="k",
        open=True,
        exception_handlers={
            Broken: lambda request, error: JSONResponse({"detail": "Come back later"}, 409)
        },
    )

    @server.tool(task=TaskPolicy(ttl=60))
    def total() -> str:
        raise Broken

    run = server.core.protocol.run_of(job("total"), Request("POST", {}))
    drive(run.call, PLAIN)
    status, outcome = run.outcome(run.call)
    assert (status, b"Come back later" in outcome) == ("completed", True)


@pytest.mark.parametrize(
    "changed", [{"revision": "2099-01-01"}, {"params": {"name": "none"}}, {"method": "none/call"}]
)
def test_a_job_that_a_process_cannot_run_is_refused(changed: dict[str, Any]) -> None:
    server = MCPServer("shop", secret_key="k", open=True)

    @server.tool
    def total() -> str:
        return ""

    with pytest.raises(ProtocolError):
        server.core.protocol.run_of(replace(job("total"), **changed), Request("POST", {}))


def test_a_job_for_a_server_without_tools_is_refused() -> None:
    server = MCPServer("shop", secret_key="k", open=True)
    with pytest.raises(ProtocolError):
        server.core.protocol.run_of(job("total"), Request("POST", {}))


def job(tool: str) -> Job:
    params = {"name": tool, "arguments": {}}
    return Job(
        "tools/call",
        params,
        {},
        "2026-07-28",
        {},
        {},
        None,
        {},
        tool,
        "anonymous",
        "anonymous",
        60,
        1,
        30,
    )
