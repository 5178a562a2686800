"""What a worker knows of who began a task, on hosts where nothing is loaded again."""

from __future__ import annotations

import json
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
from mcp_mount.tasks import CeleryTasks, run_task
from mcp_mount.testing import Client
from mcp_mount_starlette import mount
from tests.protocol.test_backplanes import Remote


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


def test_tasks_is_a_queue() -> None:
    with pytest.raises(DefinitionError, match="tasks is an object with submit"):
        MCPServer("desk", tasks="celery")  # type: ignore[arg-type]
