"""What a worker knows of who began a task, on hosts where nothing is loaded again."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import datetime
from typing import Any

import pytest
from celery import Celery
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request

from mcp_mount import AccessToken, DefinitionError, MCPServer
from mcp_mount.auth import TokenVerifier
from mcp_mount.hosting import celery_tasks
from mcp_mount.tasks import CeleryTasks, run_task
from mcp_mount.testing import Client, RPCError
from mcp_mount_starlette import mount
from tests.protocol.test_backplanes import Remote

SECONDS = 20


class Queue:
    def __init__(self) -> None:
        self.payloads: list[str] = []

    def submit(self, payload: str) -> None:
        self.payloads.append(payload)


class Boss(SimpleUser):
    roles = ("boss",)

    @property
    def identity(self) -> str:
        return f"id-of-{self.username}"


class ByHeader:
    async def authenticate(self, connection: Any) -> Any:
        name = connection.headers.get("x-user")
        return (AuthCredentials(["reports"]), Boss(name)) if name else None


def outcome(client: Client, queue: Queue, tool: str) -> Any:
    """What `tasks/get` says of a call that a worker has run."""
    made = client.request("tools/call", {"name": tool, "arguments": {}})
    assert run_task(queue.payloads.pop())
    return client.request("tasks/get", {"taskId": made["taskId"]})


def text(seen: Any) -> str:
    assert seen["status"] == "completed", seen
    found: str = seen["result"]["content"][0]["text"]
    return found


def test_a_worker_knows_the_scopes_and_roles_of_starlettes_middleware() -> None:
    queue, backend = Queue(), ByHeader()
    middleware: Any = Middleware(AuthenticationMiddleware, backend=backend)
    app = Starlette(middleware=[middleware])
    server = MCPServer("desk-starlette", secret_key="k", backplane=Remote(), tasks=queue)
    mount(app, "/mcp", server)

    @server.tool(task=True, permission="reports", roles="boss")
    def report(request: Request) -> str:
        shown = request.user.identity, request.user.display_name, request.url.path
        return f"{shown} {request.headers.get('x-user')} {request.app is app}"

    @server.tool(task=True, permission=lambda request: request.user.is_authenticated)
    async def other(request: Request) -> str:
        return str(request.auth.scopes)

    with Client(app, tasks=True, headers={"x-user": "ada"}) as client:
        assert text(outcome(client, queue, "report")) == "('id-of-ada', 'ada', '/mcp') None True"
        assert text(outcome(client, queue, "other")) == "['reports']"


def test_the_user_of_a_token_is_found_anew() -> None:
    users = {"ada": "Ada"}
    queue = Queue()
    server = MCPServer(
        "desk-tokens",
        secret_key="k",
        backplane=Remote(),
        tasks=queue,
        auth=TokenVerifier(lambda token: AccessToken(token, scopes="reports", claims={"x": 1})),
        find_user=lambda token: users.get(token.subject),
    )

    @server.tool(task=True, scopes="reports")
    def report(request: Request) -> str:
        return str(request.user)

    with Client(server, tasks=True, token="ada") as client:
        assert text(outcome(client, queue, "report")) == "Ada"
        made = client.request("tools/call", {"name": "report", "arguments": {}})
        [payload] = queue.payloads
        del users["ada"]
        assert run_task(payload)
        users["ada"] = "Ada"
        seen = client.request("tasks/get", {"taskId": made["taskId"]})
    assert (seen["status"], seen["error"]["message"]) == (
        "failed",
        "The access token is of nobody here",
    )


def test_a_rule_that_does_not_hold_any_more_holds_a_task_back() -> None:
    queue, allowed = Queue(), [True]
    server = MCPServer(
        "desk-rules",
        secret_key="k",
        backplane=Remote(),
        tasks=queue,
        permission=lambda request: allowed[0],
    )
    ran = []

    @server.tool(task=True)
    def report() -> str:
        ran.append(1)
        return ""

    with Client(server, tasks=True) as client:
        made = client.request("tools/call", {"name": "report", "arguments": {}})
        allowed[0] = False
        assert run_task(queue.payloads[0])
        allowed[0] = True
        seen = client.request("tasks/get", {"taskId": made["taskId"]})
    assert (seen["status"], ran) == ("failed", [])


@pytest.mark.parametrize("payload", ["", "[]", "{}", "null", 5, None, b"\xff", '{"server": 1}'])
def test_what_is_no_payload_is_left(payload: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert run_task(payload)
    assert "is refused: no payload of a task" in caplog.text


def test_a_payload_for_a_server_that_there_is_not_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert run_task(json.dumps({"server": "nobody", "task": "t", "sealed": "s"}))
    assert "'nobody', which this worker has not made" in caplog.text


def test_celery_tasks_takes_an_application_of_celery() -> None:
    with pytest.raises(DefinitionError, match="takes a Celery application"):
        CeleryTasks("redis://localhost")
    with pytest.raises(DefinitionError, match="attempts is a number from 1 on"):
        CeleryTasks(Celery("desk"), attempts=0)
    with pytest.raises(DefinitionError, match="queue is the name"):
        CeleryTasks(Celery("desk"), queue="")


def test_celery_that_runs_tasks_at_once_is_refused() -> None:
    app = Celery("desk", broker="memory://")
    app.conf.task_always_eager = True
    with pytest.raises(DefinitionError, match="task_always_eager"):
        CeleryTasks(app).submit(json.dumps({"server": "desk", "task": "t", "sealed": "s"}))


def test_two_servers_of_an_application_may_differ_in_attempts() -> None:
    app = Celery("desk", broker="memory://")
    CeleryTasks(app)
    CeleryTasks(app, attempts=3)
    assert not app.tasks["mcp_mount.run_task"].acks_late
    assert app.tasks["mcp_mount.run_task_again"].acks_late


def test_a_broker_that_is_away_when_a_task_is_taken_back_is_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery("desk", broker="memory://")
    tasks = CeleryTasks(app)

    def revoke(task_id: str) -> None:
        raise OSError("the broker is away")

    monkeypatch.setattr(app.control, "revoke", revoke)
    tasks.revoke("t")
    deadline = time.monotonic() + SECONDS
    while not caplog.records:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "A task could not be taken out of its queue",
    )


def test_tasks_is_a_queue() -> None:
    with pytest.raises(DefinitionError, match="tasks is an object with submit"):
        MCPServer("desk", tasks="celery")  # type: ignore[arg-type]


def test_a_task_that_a_silent_broker_keeps_waiting_is_not_published_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(celery_tasks, "_MAX_THREADS", 1)
    tasks = CeleryTasks(Celery("desk", broker="memory://"))
    answers, published = threading.Event(), []

    def publish(args: tuple[str], **options: Any) -> None:
        answers.wait(SECONDS)
        published.append(options["task_id"])

    monkeypatch.setattr(tasks._task, "apply_async", publish)

    def submit(task: str) -> None:
        tasks.submit(json.dumps({"server": "desk", "task": task, "sealed": "s"}))

    with monkeypatch.context() as patch:
        patch.setattr(celery_tasks, "_SUBMIT_SECONDS", 0.1)
        for task in ("first", "second"):
            with pytest.raises(FutureTimeout):
                submit(task)
    answers.set()
    submit("third")
    assert published == ["first", "third"]


def test_a_caller_whose_claims_are_no_json_begins_no_task(caplog: pytest.LogCaptureFixture) -> None:
    async def verify(token: str) -> AccessToken:
        return AccessToken("ada", claims={"since": datetime(2026, 1, 1)})

    queue = Queue()
    server = MCPServer(
        "desk", secret_key="k", backplane=Remote(), tasks=queue, auth=TokenVerifier(verify)
    )

    @server.tool(task=True)
    def order() -> str:
        return "tea"

    with (
        Client(server, tasks=True, token="t") as client,
        pytest.raises(RPCError, match="cannot run this as a task"),
    ):
        client.request("tools/call", {"name": "order", "arguments": {}})
    assert queue.payloads == []
    assert "datetime is not JSON serializable" in caplog.text
