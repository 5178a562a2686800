"""What the tests of web servers have served: the same tools in Flask and in Django."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from pydantic import BaseModel

from mcp_mount import Context, MCPServer, SyncContext

KEY = "for-tests-only"


class Colour(BaseModel):
    name: str


class Signal:
    """Holds tools until another request lets them go."""

    def __init__(self) -> None:
        self.given = 0

    def is_given(self, number: int) -> bool:
        return self.given >= number


def fill(server: MCPServer) -> None:
    signal = Signal()

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

    @server.tool
    def let_go(number: int) -> str:
        signal.given = number
        return threading.current_thread().name


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("servers", static_folder=None)
    app.secret_key = KEY
    fill(MCPMount(app, "/mcp").server)
    app.get("/page")(lambda: "page")
    return app


def flask_asgi() -> Any:
    from flask import Flask

    from mcp_mount_flask import mount_asgi

    app = Flask("servers", static_folder=None)
    app.secret_key = KEY
    app.get("/page")(lambda: "page")
    server = MCPServer("servers")
    fill(server)
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
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mcp_mount_django"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    from mcp_mount_django import MCPServer as DjangoServer

    server = DjangoServer("servers")
    fill(server)

    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse("page")

    urlpatterns.extend([path("mcp", include(server.urls)), path("page", page)])


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
