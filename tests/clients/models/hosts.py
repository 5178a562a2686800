"""The hosts that the clients meet: each has its models at `/mcp/v1`, a server alone at `/v1`."""

from __future__ import annotations

import sys
from typing import Any

from mcp_mount import MCPServer
from tests.clients.models.server import fill


def _server() -> MCPServer:
    return fill(MCPServer("clients", secret_key="for-tests-only", open=True))


def alone() -> Any:
    return _server()


def starlette() -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/mcp", _server())
    return app


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    mount(app, "/mcp", _server())
    return app


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("clients")
    MCPMount(app, "/mcp", _server())
    return app


def flask_beside() -> Any:
    from flask import Flask

    from mcp_mount_flask import mount

    return mount(Flask("clients"), "/mcp", _server())


def django_wsgi() -> Any:
    from tests.clients.models import django_host

    return django_host.wsgi_application()


def django_asgi() -> Any:
    from tests.clients.models import django_host

    return django_host.asgi_application()


_THREADS = ("--worker-class", "gthread", "--threads", "16")

HOSTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "alone": ("uvicorn", "alone", ()),
    "starlette": ("uvicorn", "starlette", ()),
    "fastapi": ("uvicorn", "fastapi", ()),
    "django-asgi": ("uvicorn", "django_asgi", ()),
    "django-wsgi": ("gunicorn", "django_wsgi", _THREADS),
    "flask": ("gunicorn", "flask", _THREADS),
    "flask-sync": ("gunicorn", "flask", ("--worker-class", "sync")),
    "flask-beside": ("gunicorn", "flask_beside", _THREADS),
}
"""Host: the web server that runs it, the factory of its application, and its options."""


def path_of(host: str) -> str:
    """Where the models of a host are."""
    return "/v1" if host == "alone" else "/mcp/v1"


def command(host: str, port: int) -> list[str]:
    """The command line of the web server, as a user would write it."""
    server, factory, options = HOSTS[host]
    target = f"tests.clients.models.hosts:{factory}"
    own = ["--log-level", "warning", *options]
    if server == "uvicorn":
        own += ["--factory", target, "--port", str(port)]
    else:
        own += ["--bind", f"127.0.0.1:{port}", "--graceful-timeout", "2", "--no-control-socket"]
        own.append(f"{target}()")
    return [sys.executable, "-m", server, *own]
