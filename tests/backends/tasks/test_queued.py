"""Tasks that a queue brings to workers: their state is where all processes see it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.requests import Request as StarletteRequest

from mcp_mount import Context, MCPServer, SyncContext, TaskLimits, TaskPolicy
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.calls.flows import Do
from mcp_mount.protocol import Reply, Request
from mcp_mount.tasks import run_task
from mcp_mount.testing import Client, RPCError
from mcp_mount.transports.threads import PLAIN
from mcp_mount.transports.wsgi import WSGITransport
from mcp_mount.wire.sealing import TokenRefused
from tests.protocol.test_backplanes import OnALoop, Remote
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
        self.attempts = 1
        self.is_down = False
        self.raises: type[BaseException] | None = None

    def submit(self, payload: str) -> None:
        if self.is_down:
            raise OSError("the broker is away")
        self.payloads.append(payload)
        if self.raises is not None:
            raise self.raises

    def revoke(self, task_id: str) -> None:
        self.revoked.append(task_id)


class Shop:
    """A server that takes requests, and one that works in another process, as far as it knows."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.queue = Queue()
        backplane = self.backplane = Remote()
        self.worker, front = self._server(backplane), self._server(backplane)
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
        assert self.worker.core._worker.run(json.loads(payload)["sealed"])

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

    def kept(self) -> list[str]:
        """What the backplane has of tasks: their records, and their places."""
        members = [one for pool in self.backplane.pools.values() for one in pool]
        return [*self.backplane.records, *members]

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


def test_a_task_that_comes_while_its_worker_joins_the_others_runs(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_ids = [shop.start(), shop.start()]
    backplane = shop.worker.core._peers.backplane
    listen, joining, may_join = backplane.listen, threading.Event(), threading.Event()

    def listen_slowly(node: str, hear: Any) -> Do[Any]:
        def do() -> Any:
            joining.set()
            assert may_join.wait(SECONDS)
            asked = listen(node, hear)
            assert isinstance(asked, Do)
            return asked.do()

        return Do(do)

    monkeypatch.setattr(backplane, "listen", listen_slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shop.work, shop.queue.payloads[0])
        assert joining.wait(SECONDS)
        second = pool.submit(shop.work, shop.queue.payloads[1])
        wait([second], timeout=0.2)
        may_join.set()
        for task_id in task_ids:
            shop.answer(task_id)
        first.result(SECONDS)
        second.result(SECONDS)
    assert shop.runs == ["tea", "tea"]


@pytest.mark.parametrize("seconds", [-600, 600])
def test_a_worker_with_another_clock_waits_for_answers_as_long_as_the_task_is_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    task_id = shop.start()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    worker = shop.begin_work()
    shop.answer(task_id)
    assert shop.task(task_id, "completed")["result"]["content"][0]["text"] == "tea True"
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


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_a_task_that_may_begin_again_does_not_when_it_has_ended(shop: Shop, end: str) -> None:
    shop.queue.attempts = 3
    task_id = shop.start()
    worker = shop.begin_work()
    if end == "completed":
        shop.answer(task_id)
    else:
        shop.task(task_id, "input_required")
        shop.ask("tasks/cancel", {"taskId": task_id})
    shop.task(task_id, end)
    worker.join(SECONDS)
    shop.work(shop.queue.payloads[0])
    assert shop.runs == ["tea"]


def test_a_task_that_was_cancelled_while_its_worker_was_lost_does_not_begin_again(
    shop: Shop,
) -> None:
    shop.queue.attempts = 3
    task_id = shop.start()
    shop.backplane.records[f"t:{task_id}"].update(claim1="x", node="lost")
    shop.ask("tasks/cancel", {"taskId": task_id})
    shop.work(shop.queue.payloads[0])
    assert shop.runs == []
    shop.task(task_id, "cancelled")


def test_a_task_that_runs_is_cancelled_where_it_runs(shop: Shop) -> None:
    task_id = shop.start()
    worker = shop.begin_work()
    shop.task(task_id, "input_required")
    shop.ask("tasks/cancel", {"taskId": task_id})
    shop.task(task_id, "cancelled")
    worker.join(SECONDS)


def test_a_queue_that_takes_no_task_is_a_503_and_nothing_is_kept_of_the_task(shop: Shop) -> None:
    shop.queue.is_down = True
    reply = shop.send("tools/call", {"name": "order", "arguments": {"what": "tea"}})
    assert reply.status == 503
    assert dict(reply.headers)["retry-after"] == "5"
    assert shop.kept() == []


@pytest.mark.parametrize("error", [TimeoutError, KeyboardInterrupt])
def test_a_task_that_a_queue_takes_though_it_fails_never_runs(
    shop: Shop, error: type[BaseException]
) -> None:
    shop.queue.raises = error
    with suppress(KeyboardInterrupt):
        assert (
            shop.send("tools/call", {"name": "order", "arguments": {"what": "tea"}}).status == 503
        )
    deadline = time.monotonic() + SECONDS
    while shop.kept():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [payload] = shop.queue.payloads
    envelope = json.loads(payload)
    refused = json.loads(shop.send("tasks/get", {"taskId": envelope["task"]}).body)
    assert refused["error"]["message"] == "There is no such task, or it has expired"
    shop.work(payload)
    assert shop.runs == []


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


class Slow(Queue):
    """Keeps whoever gives it a task until the event loop has turned."""

    def __init__(self, driver: OnALoop) -> None:
        super().__init__()
        self._driver = driver

    def submit(self, payload: str) -> None:
        self._driver._run(asyncio.sleep(0)).result(SECONDS)
        super().submit(payload)


@pytest.mark.parametrize("declared", [TaskPolicy(deferred=True), False], ids=["deferred", "plain"])
@pytest.mark.parametrize("kind", ["async def", "def"])
def test_the_event_loop_goes_on_while_a_handler_starts_a_task(
    kind: str, declared: TaskPolicy | bool
) -> None:
    driver = OnALoop()
    queue = Slow(driver)
    server = MCPServer("later", secret_key="k", open=True, backplane=Remote(), tasks=queue)

    if kind == "def":

        @server.tool(name="order", task=declared)
        def order(ctx: SyncContext) -> str:
            ctx.start_task()
            return "tea"
    else:

        @server.tool(name="order", task=declared)
        async def order_async(ctx: Context) -> str:
            ctx.start_task()
            return "tea"

    params = {"_meta": meta(capabilities=CAPABILITIES), "name": "order", "arguments": {}}
    headers, body = stateless("tools/call", params)
    pieces = driver.start(server, Request("POST", headers, body))
    assert pieces.get(timeout=SECONDS)[0] == 200
    begun = json.loads(pieces.get(timeout=SECONDS))["result"]
    driver.close()
    assert begun["resultType"] == "task"
    assert run_task(queue.payloads[0])


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
