"""The shop in each kind of host. BACKPLANE is the URL that its processes share, ALLOWED_HOST the
name that it has behind a proxy, KEEP_ALIVE the seconds of silence on a stream."""

from __future__ import annotations

import os
from typing import Any

from tests.workers import clock  # noqa: F401
from tests.workers.shop import fill

OPTIONS: dict[str, Any] = {"secret_key": "for-tests-only", "open": True, "poll_seconds": 0.05}
if "ALLOWED_HOST" in os.environ:
    OPTIONS["allowed_hosts"] = [os.environ["ALLOWED_HOST"]]


KEEP_ALIVE = float(os.environ.get("KEEP_ALIVE", "15"))


def asgi() -> Any:
    from mcp_mount import MCPServer

    server = MCPServer("shop", backplane=os.environ["BACKPLANE"], **OPTIONS)
    fill(server)
    return server


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("shop")
    app.config.update(
        SECRET_KEY="for-tests-only",
        MCP_BACKPLANE=os.environ["BACKPLANE"],
        MCP_OPEN=True,
        MCP_POLL_SECONDS=0.05,
        MCP_KEEP_ALIVE=KEEP_ALIVE,
        MCP_WAITING_THREADS=12,
    )
    fill(MCPMount(app, "/mcp").server)
    return app


def flask_that_was_used() -> Any:
    """The application, after requests that connected it: then it is forked."""
    from tests.requests import JSON_HEADERS, initialize, message, session_headers

    app = flask()
    client = app.test_client()
    opened = client.post("/mcp", data=initialize(), headers=dict(JSON_HEADERS))
    session = session_headers(opened.headers["mcp-session-id"])
    level = message("logging/setLevel", {"level": "error"})
    assert client.post("/mcp", json=level, headers=session).status_code == 200
    return app
