"""What importing and mounting do besides: nothing. Web servers fork afterwards, management commands
import a project without serving it, and its Redis may not be there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sample_projects.processes import PYTHONPATH, ROOT

WATCHED = """
import json, os, sys, threading

seen = []

def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(f"open {path}")
    elif event in ("socket.__new__", "_thread.start_new_thread", "subprocess.Popen", "os.fork"):
        seen.append(event)

def files():
    return sorted(set(os.listdir("/proc/self/fd"))) if os.path.isdir("/proc/self/fd") else []

before = files()
sys.addaudithook(watch)

from mcp_mount import HealthRouter, MCPServer, TaskPolicy

def fill(server):
    @server.tool(throttle="10/minute", cache=60)
    def one() -> int:
        "One."
        return 1

    @server.tool(task=TaskPolicy(ttl=60))
    async def later() -> int:
        "Later."
        return 1

    @server.resource("text://news")
    def news() -> str:
        return ""

    server.include_router(HealthRouter())
    return server

URL = "redis://127.0.0.1:1/0"

def server(**options):
    made = MCPServer("shop", backplane=URL, secret_key="for-tests-only", open=True, **options)
    return fill(made)
"""

MOUNTED = {
    "alone": "server(store='redis://127.0.0.1:1/1')",
    "FastAPI": """
from fastapi import FastAPI
from mcp_mount_fastapi import mount
mount(FastAPI(), "/mcp", server())
""",
    "Starlette": """
from starlette.applications import Starlette
from mcp_mount_starlette import mount
mount(Starlette(), "/mcp", server())
""",
    "Flask": """
from flask import Flask
from mcp_mount_flask import MCPMount
app = Flask("shop")
app.config.update(SECRET_KEY="for-tests-only", MCP_BACKPLANE=URL, MCP_OPEN=True)
fill(MCPMount(app, "/mcp").server)
""",
    "Django": """
import tests.workers.project
""",
}

TOLD = """
opened, threads, kept = list(seen), threading.active_count(), files()
import socket
socket.socket().close()
print(json.dumps([opened, threads, kept == before, len(seen) > len(opened)]))
"""


@pytest.mark.parametrize("host", MOUNTED)
def test_nothing_is_opened_before_the_first_request(host: str) -> None:
    variables = {"PYTHONPATH": PYTHONPATH, "BACKPLANE": "redis://127.0.0.1:1/0"}
    words = [sys.executable, "-B", "-c", WATCHED + MOUNTED[host] + TOLD]
    ran = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, check=True
    )
    opened, threads, is_same, is_watched = json.loads(ran.stdout)
    assert opened == []
    assert threads == 1
    # Of the files that the process has open.
    assert is_same
    assert is_watched
