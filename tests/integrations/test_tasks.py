"""Tasks on every host: real servers, polled and listened to."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2
import pytest

from tests.integrations.conftest import Serve
from tests.integrations.test_mounting import DJANGO
from tests.requests import meta, stateless

KNOWS = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}


def send(url: str, method: str, **params: Any) -> Any:
    headers, body = stateless(method, {"_meta": meta(capabilities=KNOWS), **params})
    return httpx2.post(url, headers=headers, content=body, timeout=60).json()["result"]


def start(url: str, tool: str, **arguments: Any) -> str:
    created = send(url, "tools/call", name=tool, arguments=arguments)
    assert created["resultType"] == "task", created
    task_id: str = created["taskId"]
    return task_id


def task_that_is_not(url: str, task_id: str, status: str) -> Any:
    """A task, once it has another status."""
    deadline = time.monotonic() + 60
    while (task := send(url, "tasks/get", taskId=task_id))["status"] == status:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return task


def result_of(url: str, task_id: str) -> Any:
    """The result of a task, once there is one."""
    task = task_that_is_not(url, task_id, "working")
    assert task["status"] == "completed", task
    return task["result"]


@pytest.mark.parametrize(
    ("tool", "arguments"), [("multi_input", {}), ("confirm_delete", {"filename": "notes.txt"})]
)
def test_a_client_that_listens_hears_how_a_task_ends(
    host_url: str, tool: str, arguments: dict[str, str]
) -> None:
    url = f"{host_url}/mcp"
    task_id = start(url, tool, **arguments)
    # It ends once it is answered, when the client listens already.
    asked = task_that_is_not(url, task_id, "working")["inputRequests"]
    wanted = {"taskIds": [task_id, "unknown"]}
    headers, body = stateless(
        "subscriptions/listen", {"_meta": meta(capabilities=KNOWS), "notifications": wanted}
    )
    with httpx2.stream("POST", url, headers=headers, content=body, timeout=60) as response:
        lines = response.iter_lines()
        heard = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert next(heard)["params"]["notifications"] == {"taskIds": [task_id]}
        answers = {key: {"action": "accept", "content": {"confirm": True}} for key in asked}
        send(url, "tasks/update", taskId=task_id, inputResponses=answers)
        for message in heard:
            assert message["method"] == "notifications/tasks"
            assert message["params"]["taskId"] == task_id
            if message["params"]["status"] == "completed":
                break
    assert message["params"]["result"] == result_of(url, task_id)


def test_only_a_client_that_knows_tasks_may_listen_to_them(host_url: str) -> None:
    wanted = {"taskIds": ["x"]}
    headers, body = stateless("subscriptions/listen", {"notifications": wanted})
    reply = httpx2.post(f"{host_url}/mcp", headers=headers, content=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, -32021)


def test_a_task_of_flask_has_contexts_of_its_own(serve: Serve) -> None:
    url = serve("gthread", "flask_app") + "/mcp"
    tasks = [start(url, tool) for tool in ("task_caller", "async_task_caller")]
    texts = [result_of(url, task_id)["content"][0]["text"] for task_id in tasks]
    assert texts == ["mounted /mcp True None", "mounted True None"]


@pytest.mark.parametrize(
    ("server", "app"), [("gthread", "flask_beside"), ("uvicorn", "flask_beside_asgi")]
)
def test_a_task_beside_flask_has_its_application(serve: Serve, server: str, app: str) -> None:
    url = serve(server, app) + "/mcp"
    assert result_of(url, start(url, "task_caller"))["content"][0]["text"] == "mounted"


@pytest.mark.parametrize(("server", "app", "path", "environment"), DJANGO)
def test_a_task_of_django_is_a_transaction(
    serve: Serve, server: str, app: str, path: str, environment: dict[str, str]
) -> None:
    url = serve(server, app, **environment) + path
    name = f"task-{server}{app}{len(environment)}"

    def rows() -> int:
        count: int = result_of(url, start(url, "count_later"))["structuredContent"]["result"]
        told = send(url, "tools/call", name="count", arguments={})
        assert told["structuredContent"] == {"result": count}
        return count

    before = rows()
    assert result_of(url, start(url, "add_later", name=name, fail=True))["isError"] is True
    assert rows() == before
    task_id = start(url, "add_later", name=name)
    assert result_of(url, task_id)["structuredContent"]["result"] is True
    assert rows() == before + 1
