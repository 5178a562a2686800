"""A Flask application whose tasks RQ runs, as docs/tasks.md has it. SECRET_KEYS are its secret
keys, the newest first, with blanks between."""

from __future__ import annotations

import os

from flask import Flask
from redis import Redis
from rq import Queue

from mcp_mount.tasks import run_task
from mcp_mount_flask import MCPMount
from tests.queues.desk import fill

queue = Queue(connection=Redis.from_url(os.environ["BROKER"]))


class RQTasks:
    def submit(self, payload: str) -> None:
        queue.enqueue(run, payload, job_timeout=-1)


def run(payload: str) -> None:
    run_task(payload)


key, *older_keys = os.environ.get("SECRET_KEYS", "for-tests-only").split()

app = Flask("desk")
app.config.update(
    SECRET_KEY=key,
    SECRET_KEY_FALLBACKS=older_keys,
    MCP_BACKPLANE=os.environ["BACKPLANE"],
    MCP_OPEN=True,
    MCP_TASKS=RQTasks(),
)
mcp = MCPMount(app, "/mcp")
fill(mcp.server)
