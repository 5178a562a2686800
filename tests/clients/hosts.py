"""The hosts that the clients meet: each serves `/mcp` to all, and `/keyed/mcp` for an API key."""

from __future__ import annotations

import os
import sys
from typing import Any

from mcp_mount import MCPServer
from tests.clients.server import fill, keys


def _servers() -> tuple[MCPServer, MCPServer]:
    # What several workers share.
    shared: Any = {"secret_key": "for-tests-only", "backplane": os.environ.get("BACKPLANE")}
    return (
        fill(MCPServer("clients", open=True, **shared)),
        fill(MCPServer("clients-keyed", auth=keys(), **shared)),
    )


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    server, keyed = _servers()
    mount(app, "/mcp", server)
    mount(app, "/keyed/mcp", keyed)
    return app


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("clients")
    server, keyed = _servers()
    MCPMount(app, "/mcp", server)
    MCPMount(app, "/keyed/mcp", keyed)
    return app


def django_wsgi() -> Any:
    from tests.clients import django_host

    return django_host.wsgi_application()


def django_asgi() -> Any:
    from tests.clients import django_host

    return django_host.asgi_application()


HOSTS = {
    "fastapi": ("uvicorn", "fastapi"),
    "flask": ("gunicorn", "flask"),
    "django-wsgi": ("gunicorn", "django_wsgi"),
    "django-asgi": ("uvicorn", "django_asgi"),
}
"""Host: the web server that runs it, and the factory of its application."""


def command(host: str, port: int) -> list[str]:
    """The command line of the web server, as a user would write it."""
    server, factory = HOSTS[host]
    target = f"tests.clients.hosts:{factory}"
    if server == "uvicorn":
        options = ["--factory", target, "--port", str(port), "--log-level", "warning"]
    else:
        options = [
            *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8"),
            *("--log-level", "warning", "--graceful-timeout", "2", "--no-control-socket"),
            f"{target}()",
        ]
    return [sys.executable, "-m", server, *options]
