"""What the tests of web servers have served: the same tools in Flask and in Django."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from typing import Any

from asgiref.sync import sync_to_async
from pydantic import BaseModel

from mcp_mount import Context, MCPServer, SyncContext

KEY = "for-tests-only"
marks = count(1)


class Colour(BaseModel):
    name: str


class Signal:
    """Holds tools until another request lets them go."""

    def __init__(self) -> None:
        self.given = 0

    def is_given(self, number: int) -> bool:
        return self.given >= number


def fill(
    server: MCPServer,
    is_the_requests: Callable[[Any], bool],
    off_loop: Callable[..., Any] = asyncio.to_thread,
) -> None:
    """Give a server the tools. is_the_requests: whether what the framework keeps for the request
    that it is given is there: a database connection, a context. off_loop: how coroutines call plain
    functions."""
    signal = Signal()

    @server.tool
    def same(ctx: SyncContext) -> bool:
        before = is_the_requests(ctx.request)
        ctx.report_progress(1, 2)
        return before and is_the_requests(ctx.request)

    @server.tool
    async def same_async(ctx: Context) -> bool:
        before = await off_loop(is_the_requests, ctx.request)
        await ctx.report_progress(1, 2)
        return before and await off_loop(is_the_requests, ctx.request)

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def add_async(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    @server.tool
    def speak(ctx: SyncContext) -> str:
        for step in range(3):
            ctx.report_progress(step, 3)
        return "spoken"

    @server.tool
    async def speak_async(ctx: Context) -> str:
        for step in range(3):
            await ctx.report_progress(step, 3)
        return "spoken"

    @server.tool
    def ask(ctx: SyncContext) -> str:
        answer = ctx.elicit("Which colour?", Colour)
        return answer.data.name

    @server.tool
    async def ask_async(ctx: Context) -> str:
        answer = await ctx.elicit("Which colour?", Colour)
        return answer.data.name

    @server.tool
    async def nested(ctx: Context) -> str:
        """A coroutine that has plain work done."""
        return str(await ctx.call_tool("add", {"a": 1, "b": 2}))

    @server.tool
    def hold(number: int, ctx: SyncContext) -> str:
        """Wait, and speak before, until somebody else calls `let_go`."""
        ctx.report_progress(1, 2)
        while not signal.is_given(number):
            time.sleep(0.01)
        return "let go"

    @server.tool
    async def hold_async(number: int, ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        while not signal.is_given(number):
            await asyncio.sleep(0.01)
        return "let go"

    @server.tool(task=True)
    def later(number: int, ctx: SyncContext) -> str:
        """As a task: who has begun it, by a header, when other requests have been served."""
        while not signal.is_given(number):
            time.sleep(0.01)
        return str(ctx.request.headers.get("x-who"))

    @server.tool
    def let_go(number: int) -> str:
        signal.given = number
        return threading.current_thread().name


def flask() -> Any:
    from flask import Flask, g

    from mcp_mount_flask import MCPMount

    app = Flask("servers", static_folder=None)
    app.secret_key = KEY
    fill(MCPMount(app, "/mcp").server, lambda request: g.get("mark") == request.environ["mark"])

    @app.before_request
    def mark() -> None:
        from flask import request

        g.mark = request.environ["mark"] = next(marks)

    app.get("/page")(lambda: "page")
    return app


def flask_asgi() -> Any:
    from flask import Flask, current_app

    from mcp_mount_flask import mount_asgi

    app = Flask("servers", static_folder=None)
    app.secret_key = KEY
    app.get("/page")(lambda: "page")
    server = MCPServer("servers")
    fill(server, lambda request: current_app.name == "servers")
    return mount_asgi(app, "/mcp", server)


def _django() -> None:
    import django
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import include, path

    settings.configure(
        SECRET_KEY=KEY,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[f"{__name__}.mark_connection"],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mcp_mount_django"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    from django.db import connection

    from mcp_mount_django import MCPServer as DjangoServer

    server = DjangoServer("servers", task_context=lambda request: nullcontext())
    fill(
        server,
        lambda request: getattr(connection, "mark", None) == request.mark,
        lambda function, request: sync_to_async(function)(request),
    )

    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse("page")

    urlpatterns.extend([path("mcp", include(server.urls)), path("page", page)])


def mark_connection(get_response: Any) -> Any:
    """Django middleware that sets state on the connection, as that of tenants does."""
    from django.db import connection

    def middleware(request: Any) -> Any:
        request.mark = connection.mark = next(marks)  # type: ignore[attr-defined]
        return get_response(request)

    return middleware


urlpatterns: list[Any] = []
"""Django's: this module is its URL configuration."""


def django() -> Any:
    _django()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    _django()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()
