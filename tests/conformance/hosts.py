"""The fixture server in each kind of host: ASGI and WSGI applications to be served."""

from __future__ import annotations

import os
from typing import Any

from tests.conformance.fixture import fill

OPTIONS: dict[str, Any] = {
    "version": "1.0.0",
    "secret_key": "for-tests-only",
    # What several workers share.
    "backplane": os.environ.get("BACKPLANE"),
}


def asgi() -> Any:
    from mcp_mount import MCPServer

    server = MCPServer("conformance", **OPTIONS)
    fill(server)
    return server


def starlette() -> Any:
    from starlette.applications import Starlette

    from mcp_mount_starlette import mount

    app = Starlette()
    mount(app, "/mcp", asgi())
    return app


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    mount(app, "/mcp", asgi())
    return app


def django_asgi() -> Any:
    from tests.conformance import django_host

    return django_host.asgi_application()


def django_wsgi() -> Any:
    from tests.conformance import django_host

    return django_host.wsgi_application()


def flask_wsgi() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("conformance")
    MCPMount(app, "/mcp", asgi())
    return app


def flask_asgi() -> Any:
    from flask import Flask

    from mcp_mount_flask import mount_asgi

    return mount_asgi(Flask("conformance"), "/mcp", asgi())


HOSTS = {
    "asgi": ("uvicorn", "asgi"),
    # The two parsers of uvicorn hand over white space in headers differently.
    "starlette": ("uvicorn --http h11", "starlette"),
    "fastapi": ("uvicorn", "fastapi"),
    "django-asgi": ("uvicorn", "django_asgi"),
    "django-wsgi": ("gunicorn", "django_wsgi"),
    "flask-wsgi": ("gunicorn", "flask_wsgi"),
    "flask-asgi": ("uvicorn", "flask_asgi"),
}
"""Host: the server that runs it, and the factory of its application."""

WORKERS = {f"{host}-x4": host for host in ("asgi", "flask-wsgi")}
"""The hosts of which four workers are served as well, behind a proxy that goes round them."""
