"""Each host with the middleware that its users have for CORS."""

from __future__ import annotations

import sys
from typing import Any

from tests.system.documented import add_cors
from tests.system.servers import servers


def alone() -> Any:
    """A server for each path, with the middleware on the server itself."""
    own = servers(alone=True)
    for server in own.values():
        add_cors(server, "starlette")

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        mount_point = next((one for one in own if path.endswith(one) and one != "/mcp"), "/mcp")
        await own[mount_point](scope, receive, send)

    return by_path


def starlette() -> Any:
    from starlette.applications import Starlette

    from mcp_mount_starlette import mount

    app = Starlette()
    add_cors(app, "starlette")
    for path, server in servers().items():
        mount(app, path, server)
    return app


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    add_cors(app, "starlette")
    for path, server in servers().items():
        mount(app, path, server)
    return app


def careless() -> Any:
    """CORS for everybody: which pages may call is the server's own to say."""
    from fastapi import FastAPI
    from fastapi.middleware.cors import CORSMiddleware

    from mcp_mount_fastapi import mount

    app = FastAPI()
    everybody = {"allow_origins": ["*"], "allow_methods": ["*"], "allow_headers": ["*"]}
    app.add_middleware(CORSMiddleware, **everybody)
    for path, server in servers().items():
        mount(app, path, server)
    return app


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("system")
    add_cors(app, "flask_cors")
    for path, server in servers().items():
        MCPMount(app, path, server)
    return app


def flask_beside() -> Any:
    """Before Flask, whose extensions see nothing of it: the middleware is the server's own."""
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from mcp_mount_flask import mount

    application: Any = Flask("system").wsgi_app
    for path, server in servers().items():
        add_cors(server, "starlette")
        inner = mount(Flask("system"), path, server)
        own = [path, f"/.well-known/oauth-protected-resource{path}"]
        application = DispatcherMiddleware(
            application, {one: _with_prefix(one, inner) for one in own}
        )
    return application


def _with_prefix(path: str, application: Any) -> Any:
    """An application that a dispatcher calls, by the whole path again."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        own = {"SCRIPT_NAME": "", "PATH_INFO": path + environ["PATH_INFO"]}
        return application({**environ, **own}, start_response)

    return call


def django_beside() -> Any:
    from tests.system import django_host

    return django_host.beside()


def django_wsgi() -> Any:
    from tests.system import django_host

    return django_host.wsgi_application()


def django_asgi() -> Any:
    from tests.system import django_host

    return django_host.asgi_application()


HOSTS = {
    "alone": ("uvicorn", "alone"),
    "starlette": ("uvicorn", "starlette"),
    "fastapi": ("uvicorn", "fastapi"),
    "careless": ("uvicorn", "careless"),
    "flask": ("gunicorn", "flask"),
    "flask-beside": ("gunicorn", "flask_beside"),
    "django-wsgi": ("gunicorn", "django_wsgi"),
    "django-asgi": ("uvicorn", "django_asgi"),
    "django-beside": ("gunicorn", "django_beside"),
}
"""Host: the web server that runs it, and the factory of its application."""


def command(host: str, port: int) -> list[str]:
    """The command line of the web server, as a user would write it."""
    server, factory = HOSTS[host]
    target = f"tests.system.hosts:{factory}"
    if server == "uvicorn":
        options = ["--factory", target, "--port", str(port), "--log-level", "warning"]
        if host == "alone":
            options += ["--lifespan", "off"]
    else:
        options = [
            *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8"),
            *("--log-level", "warning", "--graceful-timeout", "2", "--no-control-socket"),
            f"{target}()",
        ]
    return [sys.executable, "-m", server, *options]
