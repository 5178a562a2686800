"""Tasks that a queue brings to workers: their state is where all processes see it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.requests import Request as StarletteRequest

from mcp_mount import MCPServer, SyncContext, TaskLimits, TaskPolicy
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.protocol import Reply, Request
from mcp_mount.tasks import run_task
from mcp_mount.testing import Client, RPCError
from mcp_mount.transports.threads import PLAIN
from mcp_mount.transports.wsgi import WSGITransport
from mcp_mount.wire.sealing import TokenRefused
from tests.protocol.test_backplanes import Remote
from tests.requests import meta, stateless

SECONDS = 20
CAPABILITIES = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}


class Sure(BaseModel):
    sure: bool


class Queue:
    """Keeps payloads until a worker takes them."""

    def __init__(self) -> None:
        self.payloads: list[str] = []
        self.revoked: list[str] = []
        self.is_down = False

    def submit(self, payload: str) -> None:
        if self.is_down:
            raise OSError("the broker is away")
        self.payloads.append(payload)

    def revoke(self, task_id: str) -> None:
        self.revoked.append(task_id)


class Shop:
    """A server that takes requests, and one that works in another process, as far as it knows."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.queue = Queue()
        backplane = Remote()
        self._worker, front = self._server(backplane), self._server(backplane)
        self._transport = WSGITransport(front.core.protocol, PLAIN)

    def _server(self, backplane: Remote) -> MCPServer:
        server = MCPServer("shop", secret_key="k", open=True, backplane=backplane, tasks=self.queue)

        @server.tool(task=TaskPolicy(ttl=60))
        def order(ctx: SyncContext, what: str) -> str:
            self.runs.append(what)
            ctx.report_progress(1, message="asking")
            answer = ctx.elicit("Sure?", Sure)
            return f"{what} {bool(answer.data and answer.data.sure)}"

        return server

    def work(self, payload: str) -> None:
        """Run a task as a worker does."""
        assert self._worker.core._worker.run(json.loads(payload)["sealed"])

    def begin_work(self) -> threading.Thread:
        worker = threading.Thread(target=self.work, args=(self.queue.payloads[0],))
        worker.start()
        return worker

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
    worker = shop.begin_work()
    shop.answer(task_id)
    seen = shop.task(task_id, "completed")
    assert seen["result"]["content"][0]["text"] == "tea True"
    worker.join(SECONDS)


def test_a_payload_that_comes_twice_runs_once(shop: Shop) -> None:
    task_id = shop.start()
    worker = shop.begin_work()
    shop.task(task_id, "input_required")
    # In the same process, and while it runs.
    shop.work(shop.queue.payloads[0])
    shop.answer(task_id)
    shop.task(task_id, "completed")
    worker.join(SECONDS)
    shop.work(shop.queue.payloads[0])
    assert shop.runs == ["tea"]


def test_a_task_that_is_cancelled_before_a_worker_takes_it_never_runs(shop: Shop) -> None:
    task_id = shop.start()
    shop.ask("tasks/cancel", {"taskId": task_id})
    assert shop.ask("tasks/get", {"taskId": task_id})["status"] == "cancelled"
    assert shop.queue.revoked == [task_id]
    shop.work(shop.queue.payloads[0])
    assert shop.runs == []


def test_a_task_that_runs_is_cancelled_where_it_runs(shop: Shop) -> None:
    task_id = shop.start()
    worker = shop.begin_work()
    shop.task(task_id, "input_required")
    shop.ask("tasks/cancel", {"taskId": task_id})
    shop.task(task_id, "cancelled")
    worker.join(SECONDS)


def test_a_queue_that_takes_no_task_is_a_503(shop: Shop) -> None:
    shop.queue.is_down = True
    reply = shop.send("tools/call", {"name": "order", "arguments": {"what": "tea"}})
    assert reply.status == 503
    assert dict(reply.headers)["retry-after"] == "5"


def test_a_payload_of_other_keys_is_refused(shop: Shop) -> None:
    shop.start()
    payload = json.loads(shop.queue.payloads[0])
    other = MCPServer("shop", secret_key="other", open=True, backplane=Remote(), tasks=Queue())
    with pytest.raises(TokenRefused):
        other.core._worker.run(payload["sealed"])


@pytest.mark.parametrize(
    "lacking", [{"secret_key": None}, {"backplane": None}], ids=lambda lacking: next(iter(lacking))
)
def test_a_server_that_lacks_what_workers_need_runs_no_tasks(lacking: dict[str, Any]) -> None:
    queue = Queue()
    options: dict[str, Any] = {"secret_key": "k", "backplane": Remote(), "open": True, **lacking}
    server = MCPServer("shop", tasks=queue, **options)

    @server.tool(task=True)
    def order() -> str:
        return ""

    with Client(server, tasks=True) as client, pytest.raises(RPCError, match="runs no tasks"):
        client.call_tool("order")
    assert queue.payloads == []


def test_a_payload_has_neither_the_token_nor_headers(shop: Shop) -> None:
    server = MCPServer(
        "desk",
        secret_key="k",
        backplane=Remote(),
        tasks=shop.queue,
        auth=APIKeys([APIKey("ada", "a-secret-key-of-ada-for-tests", scopes="reports")]),
    )

    @server.tool(task=True, scopes="reports")
    def report(request: StarletteRequest) -> str:
        return f"{request.user.identity} {request.auth.scopes}"

    with Client(server, tasks=True, token="a-secret-key-of-ada-for-tests") as client:
        made = client.request("tools/call", {"name": "report", "arguments": {}})
        [payload] = shop.queue.payloads
        _, job, origin = server.core._worker._payloads.open(json.loads(payload)["sealed"])
        assert origin.token is not None
        assert (origin.caller, origin.token.subject) == ("ada", "ada")
        assert "a-secret-key" not in repr((job, origin))
        assert run_task(payload)
        seen = client.request("tasks/get", {"taskId": made["taskId"]})
    assert seen["result"]["content"][0]["text"] == "ada ['reports']"


def test_a_caller_who_has_too_many_tasks_gets_no_other() -> None:
    queue = Queue()
    server = MCPServer(
        "till",
        secret_key="k",
        open=True,
        backplane=Remote(),
        tasks=queue,
        task_limits=TaskLimits(tasks_per_caller=2),
    )

    @server.tool(task=True)
    def order() -> str:
        return "tea"

    call = {"name": "order", "arguments": {}}
    with Client(server, tasks=True) as client:
        first = client.request("tools/call", call)["taskId"]
        client.request("tools/call", call)
        with pytest.raises(RPCError, match="too many tasks"):
            client.request("tools/call", call)
        assert len(queue.payloads) == 2
        assert run_task(queue.payloads[0])
        assert client.request("tasks/get", {"taskId": first})["status"] == "completed"
        client.request("tools/call", call)


def test_a_handler_that_starts_a_task_by_itself_goes_on_in_a_worker() -> None:
    queue = Queue()
    server = MCPServer("later", secret_key="k", open=True, backplane=Remote(), tasks=queue)
    begun = []

    @server.tool(task=TaskPolicy(deferred=True))
    def order(ctx: SyncContext, many: int) -> str:
        begun.append(many)
        if many > 1:
            ctx.start_task()
        return f"{many} teas"

    with Client(server, tasks=True) as client:
        few = client.request("tools/call", {"name": "order", "arguments": {"many": 1}})
        assert few["content"][0]["text"] == "1 teas"
        made = client.request("tools/call", {"name": "order", "arguments": {"many": 3}})
        assert run_task(queue.payloads[0])
        seen = client.request("tasks/get", {"taskId": made["taskId"]})
        queue.is_down = True
        with pytest.raises(RPCError, match="no tasks now"):
            client.request("tools/call", {"name": "order", "arguments": {"many": 2}})
    assert seen["result"]["content"][0]["text"] == "3 teas"
    assert begun == [1, 3, 3, 2]
