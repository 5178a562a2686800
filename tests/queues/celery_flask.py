"""A Flask application whose tasks Celery runs: served by gunicorn, and imported by workers."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, has_request_context, request
from flask_login import LoginManager, UserMixin, current_user

from mcp_mount.tasks import CeleryTasks
from mcp_mount_flask import MCPMount
from tests.queues.desk import POLICY, fill
from tests.workers import clock  # noqa: F401

celery = Celery("desk", broker=os.environ["BROKER"])
celery.conf.update(
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

app = Flask("desk")
app.config.update(SECRET_KEY="for-tests-only", MCP_BACKPLANE=os.environ["BACKPLANE"], MCP_OPEN=True)
logins = LoginManager(app)


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name
        self.roles = ["boss"] if name == "ada" else []

    @property
    def is_active(self) -> bool:
        # A user who is dismissed while their task waits.
        return not os.path.exists(f"{os.environ['FOLDER']}/dismissed-{self.id}")


@logins.user_loader
def load(user_id: str) -> User:
    return User(user_id)


@logins.request_loader
def of_header(request: Any) -> User | None:
    name = request.headers.get("x-user")
    return User(name) if name else None


mcp = MCPMount(
    app, "/mcp", tasks=CeleryTasks(celery, attempts=int(os.environ.get("ATTEMPTS", "1")))
)
fill(mcp.server)


@mcp.tool(task=POLICY)
def who() -> dict[str, Any]:
    assert has_request_context()
    return {
        "user": current_user.get_id(),
        "host": request.host,
        "pid": os.getpid(),
        "secret": request.headers.get("x-user"),
    }


@mcp.tool(task=POLICY, roles="boss")
def boss() -> str:
    return str(current_user.get_id())
