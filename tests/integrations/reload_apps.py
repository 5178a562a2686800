"""A server whose tool runs until the test says so, for web servers that replace their workers.

FOLDER is where the tool says that it has begun, and waits for the file `go`.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from flask import Flask

from mcp_mount import MCPServer
from mcp_mount_flask import MCPMount

FOLDER = Path(os.environ["FOLDER"])


def plain() -> int:
    (FOLDER / f"begun {os.getpid()}").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.02)
    return os.getpid()


async def coroutine() -> int:
    (FOLDER / f"begun {os.getpid()}").touch()
    while not (FOLDER / "go").exists():
        await asyncio.sleep(0.02)
    return os.getpid()


def server() -> MCPServer:
    made = MCPServer("reloaded", open=True, secret_key="for-tests-only")
    made.tool(plain)
    made.tool(coroutine)
    return made


asgi = server()
wsgi = Flask("reloaded")
MCPMount(wsgi, "/mcp", server())
