"""Applications that mount a server in each way there is, to be run by real web servers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp_mount import MCPServer, ToolsRouter

KEY = "for-tests-only"


def where(thing: Any) -> str:
    return f"{type(thing).__module__.partition('.')[0]}:{threading.current_thread().name}"


def build(**options: Any) -> MCPServer:
    server = MCPServer("mounted", secret_key=KEY, **options)
    server.include_router(build_tools())
    return server


def build_tools() -> ToolsRouter:
    from mcp_mount import Context, SyncContext

    tools = ToolsRouter()

    @tools.tool
    def request_type(ctx: SyncContext) -> str:
        """Tell what the host's request is."""
        return type(ctx.request).__module__.partition(".")[0]

    @tools.tool
    async def async_request_type(ctx: Context) -> str:
        """Tell what the host's request is."""
        return type(ctx.request).__module__.partition(".")[0]

    return tools


@asynccontextmanager
async def lifespan(server: Any) -> AsyncIterator[dict[str, Any]]:
    server.state.events = ["server started"]
    yield {"from_server": "yes"}


def starlette_lifespan() -> Any:
    """Two mounts with lifespans of their own in an application that has one too."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from mcp_mount_starlette import mount

    first, second = build(lifespan=lifespan), build()

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"from_app": "yes"}

    async def state(request: Request) -> JSONResponse:
        events = getattr(first.state, "events", None)
        return JSONResponse({**request.state._state, "events": events})

    app = Starlette(routes=[Route("/state", state)], lifespan=own)
    mount(app, "/mcp", first)
    mount(app, "/other/mcp", second)
    return app


def starlette_nested() -> Any:
    """A server in a Mount, in a Host."""
    from starlette.applications import Starlette
    from starlette.routing import Host, Mount, Router

    from mcp_mount_starlette import MCPMount

    inner = Router(routes=[MCPMount("/mcp", build())])
    return Starlette(routes=[Host("127.0.0.1", app=Router(routes=[Mount("/deep", app=inner)]))])


def fastapi_redirecting() -> Any:
    """A FastAPI application whose own routes redirect slashes."""
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    app.get("/items/")(lambda: [])
    mount(app, "/mcp", build())
    return app


def flask_app() -> Any:
    from flask import Flask, abort, current_app, g, request

    from mcp_mount_flask import MCPMount

    app = Flask("mounted", static_folder=None)
    app.secret_key = KEY
    mcp = MCPMount(app, "/mcp", build())

    @app.before_request
    def before() -> None:
        g.caller = request.headers.get("X-Caller", "nobody")
        if g.caller == "mallory":
            abort(401)

    @app.after_request
    def after(response: Any) -> Any:
        response.headers["X-After"] = "yes"
        return response

    @app.get("/page")
    def page() -> str:
        return "page"

    @mcp.tool
    def caller() -> str:
        """Tell what the application's context knows."""
        return f"{current_app.name} {g.caller} {request.path}"

    @mcp.tool
    async def async_caller() -> str:
        """Tell what the application's context knows."""
        return f"{current_app.name} {g.caller} {request.path}"

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        g.pop("open", None)

    @mcp.tool(task=True)
    def task_caller() -> str:
        """Tell what a task knows, long after its request."""
        g.open = True
        time.sleep(0.2)
        return f"{current_app.name} {request.path} {g.open} {g.get('caller')}"

    @mcp.tool(task=True)
    async def async_task_caller() -> str:
        """Tell what a task knows, long after its request."""
        g.open = True
        await asyncio.sleep(0.2)
        return f"{current_app.name} {g.open} {g.get('caller')}"

    return app


def flask_middleware() -> Any:
    """The same, with Starlette middleware on the server."""
    from starlette.middleware.base import BaseHTTPMiddleware

    class Mark(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-mark"] = "yes"
            return response

    app = flask_app()
    app.extensions["mcp_mount"]["/mcp"].server.add_middleware(Mark)
    return app


def flask_beside() -> Any:
    from flask import Flask, current_app

    from mcp_mount_flask import mount

    app = Flask("mounted", static_folder=None)
    app.secret_key = KEY
    app.get("/page")(lambda: "page")
    server = build()
    server.tool(name="caller")(lambda: current_app.name)
    server.tool(name="task_caller", task=True)(lambda: current_app.name)
    return mount(app, "/mcp", server)


def flask_beside_asgi() -> Any:
    from flask import Flask, current_app

    from mcp_mount_flask import mount_asgi

    app = Flask("mounted", static_folder=None)
    app.secret_key = KEY
    app.get("/page")(lambda: "page")
    server = build()
    server.tool(name="caller")(lambda: current_app.name)
    server.tool(name="task_caller", task=True)(lambda: current_app.name)
    return mount_asgi(app, "/mcp", server)


def flask_under_asgi() -> Any:
    """A Flask application with the extension inside, bridged to ASGI as a whole."""
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(flask_app())


def wsgi_beside() -> Any:
    """A plain WSGI application that knows nothing of frameworks."""
    from mcp_mount import mount_wsgi

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"page"]

    return mount_wsgi(app, "/mcp", build())


def wsgi_prefix() -> Any:
    """The Flask application below a prefix, as a web server with SCRIPT_NAME serves it."""
    app = flask_app()

    def prefixed(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path.startswith("/prefix"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/prefix", path[len("/prefix") :]
        return app(environ, start_response)

    return prefixed


def django_project(flavour: str) -> Any:
    from tests.integrations import django_project

    return django_project.application(flavour)


def django_wsgi() -> Any:
    return django_project("wsgi")


def django_asgi() -> Any:
    return django_project("asgi")


def django_beside_wsgi() -> Any:
    from mcp_mount_django import mount

    application = django_project("wsgi")
    from tests.integrations.django_project import server

    return mount(application, "/beside", server)


def django_beside_asgi() -> Any:
    from mcp_mount_django import mount

    application = django_project("asgi")
    from tests.integrations.django_project import server

    return mount(application, "/beside", server)
