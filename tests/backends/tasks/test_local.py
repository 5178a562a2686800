"""Tasks in this process, as a client sees them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import (
    Audit,
    CallRecord,
    ClientError,
    Context,
    DefinitionError,
    MCPServer,
    ProtocolError,
    SyncContext,
    TaskPolicy,
    ToolError,
    elicitation,
)
from mcp_mount.protocol import Request
from mcp_mount.transports.async_answers import AsyncAnswers
from mcp_mount.transports.driving import follow
from mcp_mount.transports.executor import waiting_thread
from mcp_mount.wire.errors import INTERNAL_ERROR
from tests.protocol.test_backplanes import Remote
from tests.requests import Session, meta, stateless

EXTENSION = "io.modelcontextprotocol/tasks"
KNOWS = {"extensions": {EXTENSION: {}}}
CAN_ASK = {**KNOWS, "elicitation": {}}


class Name(BaseModel):
    name: str


class Age(BaseModel):
    age: int


@pytest.fixture
def go() -> threading.Event:
    """Lets the tools that wait for it end."""
    return threading.Event()


@pytest.fixture
def begun() -> threading.Event:
    """Set by a tool that has begun to run."""
    return threading.Event()


@pytest.fixture
def server(go: threading.Event, begun: threading.Event) -> MCPServer:
    server = MCPServer("tests", secret_key="k")

    @server.tool(task=True)
    def double(number: int) -> int:
        return number * 2

    @server.tool(task=True)
    async def async_double(number: int) -> int:
        return number * 2

    @server.tool(task="required")
    def must() -> str:
        return "done"

    @server.tool(task=TaskPolicy(when=lambda arguments: arguments["rows"] > 100))
    def export(rows: int) -> str:
        return f"{rows} rows"

    @server.tool(task=True)
    def fail() -> str:
        raise ToolError("No luck")

    @server.tool(task=True)
    async def crash() -> str:
        raise ProtocolError(INTERNAL_ERROR, "Broken", data={"why": "because"})

    @server.tool(task=True)
    def tell(ctx: SyncContext) -> str:
        ctx.report_progress(1, 2)
        go.wait(60)
        ctx.report_progress(2, 2, "nearly there")
        return ctx.task_id or ""

    @server.tool(task=True)
    def ask(ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name)
        return f"{answer.action} {answer.data.name if answer.data else ''}"

    @server.tool(task=True)
    async def ask_two(ctx: Context) -> str:
        answers = await ctx.ask(
            {"name": elicitation("Your name?", Name), "age": elicitation("Your age?", Age)}
        )
        return f"{answers['name'].data.name} {answers['age'].data.age}"

    @server.tool(task=True)
    async def ask_forever(ctx: Context) -> str:
        try:
            await ctx.elicit("Your age?", Age)
        except ClientError as error:
            return str(error)
        return "answered"

    @server.tool(task=True)
    def stubborn() -> str:
        begun.set()
        go.wait(60)
        return "ended"

    @server.tool(task=True)
    def polite(ctx: SyncContext) -> str:
        while not ctx.cancelled:
            go.wait(0.01)
        return "ended early"

    @server.tool(task=True)
    async def endless() -> str:
        await asyncio.sleep(60)
        return "never"

    @server.tool
    def late(ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name)
        ctx.start_task()
        return f"{'task' if ctx.task_id else 'no task'} for {answer.data and answer.data.name}"

    @server.tool
    async def late_in_plain_code(ctx: Context) -> str:
        # As `sync_to_async` does in Django.
        await asyncio.get_running_loop().run_in_executor(waiting_thread(), ctx.start_task)
        return "task" if ctx.task_id else "no task"

    return server


def send(
    server: MCPServer, method: str, params: dict[str, Any], capabilities: Any = CAN_ASK
) -> dict[str, Any]:
    """The decoded reply to a stateless request."""
    headers, body = stateless(method, {"_meta": meta(capabilities=capabilities), **params})
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    decoded: dict[str, Any] = json.loads(reply.body)
    return decoded


def start(server: MCPServer, tool: str, capabilities: Any = CAN_ASK, **arguments: Any) -> str:
    """The id of a task that was begun."""
    result = send(server, "tools/call", {"name": tool, "arguments": arguments}, capabilities)
    assert result["result"]["resultType"] == "task", result
    task_id: str = result["result"]["taskId"]
    return task_id


def get(server: MCPServer, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = send(server, "tasks/get", {"taskId": task_id})["result"]
    assert task["resultType"] == "complete"
    assert task["taskId"] == task_id
    return task


def until(server: MCPServer, task_id: str, *status: str) -> dict[str, Any]:
    """The task once it has one of the given states."""
    return wait_for(lambda: get(server, task_id), lambda task: task["status"] in status)


def wait_for(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 60
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.005)
    return seen


def answer(server: MCPServer, task_id: str, **responses: Any) -> None:
    params = {"taskId": task_id, "inputResponses": responses}
    result = send(server, "tasks/update", params)["result"]
    assert {key for key in result if key != "_meta"} == {"resultType"}


def accept(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


@pytest.mark.parametrize("tool", ["double", "async_double"])
def test_a_task_ends_with_what_the_call_would_have_said(server: MCPServer, tool: str) -> None:
    plain = send(server, "tools/call", {"name": tool, "arguments": {"number": 4}}, {})
    task = until(server, start(server, tool, number=4), "completed")
    assert task["result"] == plain["result"]
    assert task["result"]["structuredContent"]["result"] == 8
    assert (task["ttlMs"], task["pollIntervalMs"]) == (3_600_000, 1000)


def test_arguments_are_checked_before_there_is_a_task(server: MCPServer) -> None:
    params = {"name": "double", "arguments": {"number": "x"}}
    result = send(server, "tools/call", params)["result"]
    assert (result["resultType"], result["isError"]) == ("complete", True)


def test_clients_that_know_no_tasks_wait_for_the_result(server: MCPServer) -> None:
    session = Session(server, "2025-11-25", CAN_ASK)
    assert session.call("double", {"number": 1})["structuredContent"] == {"result": 2}
    refused = session.ask("tools/call", {"name": "must"})["error"]
    assert refused["code"] == -32021
    assert refused == send(server, "tools/call", {"name": "must"}, {})["error"]
    assert refused["data"] == {"requiredCapabilities": KNOWS}
    assert session.ask("tasks/get", {"taskId": "x"})["error"]["code"] == -32601


def test_a_policy_decides_by_the_arguments(server: MCPServer) -> None:
    params = {"name": "export", "arguments": {"rows": 3}}
    assert send(server, "tools/call", params)["result"]["resultType"] == "complete"
    task = until(server, start(server, "export", rows=300), "completed")
    assert task["result"]["content"][0]["text"] == "300 rows"


def test_failures_of_the_tool_and_of_the_protocol_differ(server: MCPServer) -> None:
    failed = until(server, start(server, "fail"), "completed")["result"]
    assert (failed["isError"], failed["content"][0]["text"]) == (True, "No luck")
    crashed = until(server, start(server, "crash"), "failed")
    assert crashed["error"] == {"code": -32603, "message": "Broken", "data": {"why": "because"}}
    assert crashed["statusMessage"] == "Broken"
    assert "result" not in crashed


def test_progress_is_the_status_message(server: MCPServer, go: threading.Event) -> None:
    task_id = start(server, "tell")
    task = wait_for(lambda: get(server, task_id), lambda task: "statusMessage" in task)
    assert (task["status"], task["statusMessage"]) == ("working", "1 of 2")
    go.set()
    assert until(server, task_id, "completed")["result"]["content"][0]["text"] == task_id


def test_a_plain_function_asks_and_waits(server: MCPServer) -> None:
    task_id = start(server, "ask")
    task = until(server, task_id, "input_required")
    assert task["inputRequests"]["elicitation-1"]["params"]["message"] == "Your name?"
    answer(server, task_id, other=accept(name="Bob"))
    assert get(server, task_id)["status"] == "input_required"
    answer(server, task_id, **{"elicitation-1": accept(name="Ada")})
    task = until(server, task_id, "completed")
    assert task["result"]["content"][0]["text"] == "accept Ada"
    assert "inputRequests" not in task


def test_questions_put_together_are_answered_one_by_one(server: MCPServer) -> None:
    task_id = start(server, "ask_two")
    assert set(until(server, task_id, "input_required")["inputRequests"]) == {"name", "age"}
    answer(server, task_id, name=accept(name="Ada"))
    assert set(get(server, task_id)["inputRequests"]) == {"age"}
    answer(server, task_id, name=accept(name="Bob"), age=accept(age=36))
    task = until(server, task_id, "completed")
    assert task["result"]["content"][0]["text"] == "Ada 36"


def test_an_answer_that_does_not_fit_is_asked_for_again(server: MCPServer) -> None:
    task_id = start(server, "ask_forever")
    for key in ("elicitation-1", "elicitation-1.2", "elicitation-1.3"):
        task = wait_for(
            lambda: get(server, task_id), lambda task, key=key: key in task.get("inputRequests", {})
        )
        assert list(task["inputRequests"]) == [key]
        answer(server, task_id, **{key: accept(age="old")})
    assert "age: Input should be a valid integer" in task["inputRequests"][key]["params"]["message"]
    text = until(server, task_id, "completed")["result"]["content"][0]["text"]
    assert text.startswith("The client's answer does not fit: age")


def test_a_task_whose_client_cannot_be_asked_fails(server: MCPServer) -> None:
    task_id = start(server, "ask", KNOWS)
    error = until(server, task_id, "failed")["error"]
    assert (error["code"], error["data"]) == (
        -32021,
        {"requiredCapabilities": {"elicitation": {}}},
    )


def test_a_handler_begins_its_task_after_its_questions(server: MCPServer) -> None:
    params = {"name": "late", "arguments": {}}
    first = send(server, "tools/call", params)["result"]
    assert first["resultType"] == "input_required"
    answered = {
        **params,
        "requestState": first["requestState"],
        "inputResponses": {"elicitation-1": accept(name="Ada")},
    }
    created = send(server, "tools/call", answered)["result"]
    assert (created["resultType"], created["status"]) == ("task", "working")
    task = until(server, created["taskId"], "completed")
    assert task["result"]["content"][0]["text"] == "task for Ada"
    without = send(server, "tools/call", answered, {"elicitation": {}})["result"]
    assert without["content"][0]["text"] == "no task for Ada"


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("tool", ["ask", "ask_two", "polite", "endless"])
def test_a_task_is_cancelled(server: MCPServer, tool: str, early: bool) -> None:
    task_id = start(server, tool)
    if tool.startswith("ask") and not early:
        until(server, task_id, "input_required")
    for _ in range(2):
        ack = send(server, "tasks/cancel", {"taskId": task_id})["result"]
        assert {key for key in ack if key != "_meta"} == {"resultType"}
    task = until(server, task_id, "cancelled")
    assert not {"result", "error", "inputRequests"} & set(task)


def test_a_function_that_does_not_look_ends_as_it_does(
    server: MCPServer, go: threading.Event, begun: threading.Event
) -> None:
    task_id = start(server, "stubborn")
    # One that has not begun is cancelled at once.
    assert begun.wait(60)
    send(server, "tasks/cancel", {"taskId": task_id})
    assert get(server, task_id)["status"] == "working"
    go.set()
    assert until(server, task_id, "completed")["result"]["content"][0]["text"] == "ended"
    send(server, "tasks/cancel", {"taskId": task_id})
    assert get(server, task_id)["status"] == "completed"


def test_coroutines_run_on_the_loop_of_their_request(server: MCPServer) -> None:
    threads: list[str] = []

    @server.tool(task=True)
    async def where() -> str:
        threads.append(threading.current_thread().name)
        return "here"

    async def request() -> None:
        headers, body = stateless(
            "tools/call", {"_meta": meta(capabilities=KNOWS), "name": "where", "arguments": {}}
        )
        opened = follow(server.core.protocol.open(Request("POST", headers, body)))
        reply = await AsyncAnswers(server.core.protocol, server.core.runner).answer(opened)
        task_id = json.loads(reply.body)["result"]["taskId"]  # type: ignore[union-attr]
        while get(server, task_id)["status"] != "completed":
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(request(), 60))
    assert threads == ["MainThread"]


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_task_for_which_there_is_no_thread_fails_at_once(
    is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MCPServer("tests", secret_key="k", backplane=Remote() if is_shared else "memory://")
    server.tool(name="job", task=TaskPolicy(ttl=60))(lambda: "done")
    begin = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "mcp-mount-task":
            raise RuntimeError("can't start new thread")
        begin(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        task = get(server, start(server, "job"))
    assert (task["status"], task["statusMessage"]) == (
        "failed",
        "The server cannot run more tasks now: try again",
    )
    until(server, start(server, "job"), "completed")


def test_tasks_expire(server: MCPServer) -> None:
    server.tool(name="short", task=TaskPolicy(ttl=0.05))(lambda: "x")
    task_id = start(server, "short")
    reply = wait_for(
        lambda: send(server, "tasks/get", {"taskId": task_id}), lambda reply: "error" in reply
    )
    assert reply["error"]["code"] == -32602
    # Room is made for others.
    server.core.tasks.limits.tasks = 1
    other = start(server, "endless")
    refused = send(server, "tools/call", {"name": "endless", "arguments": {}})
    assert refused["error"]["code"] == -32603
    send(server, "tasks/cancel", {"taskId": other})


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_the_methods_check_who_asks_for_what(server: MCPServer, method: str) -> None:
    params: dict[str, Any] = {"taskId": "unknown", "inputResponses": {}}
    assert send(server, method, params)["error"]["code"] == -32602
    assert send(server, method, params, {})["error"]["code"] == -32021
    assert send(server, method, params, {"extensions": 1})["error"]["code"] == -32021
    assert send(server, method, {"inputResponses": {}})["error"]["code"] == -32602
    headers, body = stateless(method, {"_meta": meta(capabilities=KNOWS), **params}, mcp_name="x")
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    assert json.loads(reply.body)["error"]["code"] == -32020


def test_responses_must_be_an_object(server: MCPServer) -> None:
    task_id = start(server, "ask")
    params = {"taskId": task_id, "inputResponses": []}
    assert send(server, "tasks/update", params)["error"]["code"] == -32602
    send(server, "tasks/cancel", {"taskId": task_id})


def test_tasks_of_a_process_that_ends_fail_at_once(
    server: MCPServer, go: threading.Event, begun: threading.Event
) -> None:
    waiting = [start(server, tool) for tool in ("ask", "endless", "polite", "stubborn")]
    until(server, waiting[0], "input_required")
    assert begun.wait(20)
    server.core.tasks.close()
    for _ in range(2):
        for task_id in waiting:
            seen = send(server, "tasks/get", {"taskId": task_id})["result"]
            assert seen["status"] == "failed"
            assert seen["error"]["message"] == "The worker that ran this task has ended"
        # One that ends after all has failed, and the others were told to end.
        go.set()
        workers, deadline = server.core.tasks.workers, time.monotonic() + 20
        while workers._idle != workers._count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_runs_tasks_of_its_own_and_leaves_others_alone(
    server: MCPServer,
) -> None:
    # A thread that waits for work stays behind in the parent.
    until(server, start(server, "double", number=1), "completed")
    waiting = start(server, "ask")
    until(server, waiting, "input_required")
    child = os.fork()
    if child == 0:
        try:
            server.core.tasks.close()
            assert server.core.tasks.get(waiting) is None
            until(server, start(server, "double", number=2), "completed")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    until(server, waiting, "input_required")
    server.core.tasks.close()


def test_plain_code_of_a_coroutine_starts_a_task(server: MCPServer) -> None:
    task = until(server, start(server, "late_in_plain_code"), "completed")
    assert task["result"]["content"][0]["text"] == "task"


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match="must be True"):
        MCPServer("tests").tool(name="x", task="sometimes")(lambda: "x")  # type: ignore[call-overload]


def as_caller(server: MCPServer, caller: str | None, tool: str, **arguments: Any) -> Any:
    """The decoded reply to a call of a tool by somebody."""
    params = {"_meta": meta(capabilities=KNOWS), "name": tool, "arguments": arguments}
    headers, body = stateless("tools/call", params)
    request = Request("POST", headers, body, caller=lambda: caller)
    return json.loads(server.core.wsgi_endpoint.respond_to(request).body)


def is_task(reply: Any) -> bool:
    return bool(reply.get("result", {}).get("resultType") == "task")


def test_a_caller_has_a_quota_that_leaves_places_to_others(
    server: MCPServer, go: threading.Event
) -> None:
    server.core.tasks.limits.tasks_per_caller = 3
    begun = [as_caller(server, "ada", "stubborn") for _ in range(4)]
    assert [is_task(one) for one in begun] == [True, True, True, False]
    error = begun[-1]["error"]
    assert (error["code"], 3500 < error["data"]["retryAfter"] <= 3600) == (-32603, True)
    assert "You have too many tasks" in error["message"]
    assert is_task(as_caller(server, "bob", "stubborn"))
    # Those whom nobody knows share one.
    nobody = [as_caller(server, None, "stubborn") for _ in range(4)]
    assert [is_task(one) for one in nobody] == [True, True, True, False]
    go.set()


def test_a_task_whose_result_was_fetched_makes_room_for_another(server: MCPServer) -> None:
    server.core.tasks.limits.tasks_per_caller = 2
    first, second = (start(server, "double", number=number) for number in (1, 2))
    until(server, first, "completed")
    wait_for(lambda: server.core.tasks.get(second), lambda task: task.status == "completed")
    third = start(server, "double", number=3)
    assert "error" in send(server, "tasks/get", {"taskId": first})
    assert get(server, second)["status"] == "completed"
    until(server, third, "completed")
    start(server, "endless")


def test_the_outcomes_of_a_callers_tasks_have_a_budget(server: MCPServer) -> None:
    server.tool(name="large", task=True)(lambda: "x" * 100_000)
    server.core.tasks.limits.result_bytes_per_caller = 150_000
    one = start(server, "large")
    wait_for(lambda: server.core.tasks.get(one), lambda task: task.status == "completed")
    other = until(server, start(server, "large"), "failed")
    assert other["error"]["message"].endswith("more than is kept for your tasks")
    assert len(get(server, one)["result"]["content"][0]["text"]) == 100_000
    # What the client has got may go.
    until(server, start(server, "large"), "completed")
    assert "error" in send(server, "tasks/get", {"taskId": one})


def test_the_outcomes_of_all_tasks_have_a_budget(server: MCPServer) -> None:
    server.tool(name="large", task=True)(lambda: "x" * 100_000)
    server.core.tasks.limits.result_bytes = 150_000
    assert is_task(as_caller(server, "ada", "large"))
    wait_for(lambda: server.core.tasks._bytes, lambda size: size > 100_000)
    assert until(server, start(server, "large"), "failed")["error"]["code"] == -32603


def test_a_call_that_is_throttled_becomes_no_task() -> None:
    records: list[CallRecord] = []
    server = MCPServer("tests", throttle="2/minute", audit=Audit(after=records.append))
    ran: list[str] = []

    @server.tool(task=True, throttle="3/minute")
    def work() -> str:
        ran.append("work")
        return "done"

    begun = [as_caller(server, "ada", "work") for _ in range(2)]
    for one in begun:
        task_id = one["result"]["taskId"]
        wait_for(lambda known=task_id: server.core.tasks.get(known).status, "completed".__eq__)
    # Each counts once, though it is asked for and then run.
    refused = as_caller(server, "ada", "work")["result"]
    assert (refused["resultType"], refused["isError"]) == ("complete", True)
    assert "was called too often (2 per 1 minute)" in refused["content"][0]["text"]
    assert len(ran) == 2
    assert [one.outcome for one in records] == ["ok", "ok", "tool_error"]
    # Whoever counts by themselves is let in: by another caller's count.
    assert is_task(as_caller(server, "bob", "work"))


def test_what_is_too_large_becomes_no_task() -> None:
    server = MCPServer("tests", max_argument_depth=2)
    server.tool(task=True)(deep)
    refused = as_caller(server, "ada", "deep", value=[[[1]]])["result"]
    assert (refused["resultType"], refused["isError"]) == ("complete", True)


def deep(value: Any) -> str:
    return "done"


@pytest.mark.parametrize("tool", ["double", "async_double"])
def test_a_server_that_ran_tasks_is_freed(tool: str) -> None:
    async def async_double(number: int) -> int:
        return number * 2

    def double(number: int) -> int:
        return number * 2

    def use() -> weakref.ref[MCPServer]:
        server = MCPServer("short", secret_key="k", throttle="10/minute")
        server.tool(task=True)(double)
        server.tool(task=True)(async_double)
        until(server, start(server, tool, number=2), "completed")
        return weakref.ref(server)

    server = use()

    def collected() -> Any:
        gc.collect()
        return server()

    assert wait_for(collected, lambda one: one is None) is None
