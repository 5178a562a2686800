"""The same tools in each host, which ask models: plain functions and coroutines."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from mcp_mount import ChatRequest, CompletionsRouter, Context, MCPServer, SyncContext
from mcp_mount.models import ModelError, OpenAI, Route, Usage

OPEN: Counter[str] = Counter()
"""How many generators are at work, by the name of their model."""

UPSTREAM = os.environ.get("ASKING_UPSTREAM", "http://127.0.0.1:9")
OPTIONS: dict[str, Any] = {"secret_key": "for-tests-only", "open": True}


class Point(BaseModel):
    x: int
    y: int


@contextmanager
def working(name: str) -> Iterator[None]:
    OPEN[name] += 1
    try:
        yield
    finally:
        OPEN[name] -= 1


def nobody(request: Any) -> bool:
    return False


def models() -> CompletionsRouter:
    router = CompletionsRouter()

    @router.chat
    def plain(request: ChatRequest) -> str:
        return f"plain {request.text}"

    @router.chat
    async def coroutine(request: ChatRequest) -> str:
        return f"coroutine {request.text}"

    @router.chat
    def point(request: ChatRequest) -> str:
        wanted = (request.response_format or {})["json_schema"]["schema"]["properties"]
        return '{"x": 1, "y": 2}' if list(wanted) == ["x", "y"] else "{}"

    @router.chat(permission=nobody)
    def hidden(request: ChatRequest) -> str:
        return "secret"

    @router.chat
    async def broken(request: ChatRequest) -> str:
        raise RuntimeError("secret")

    @router.chat(timeout=0.2)
    async def late(request: ChatRequest) -> str:
        await asyncio.sleep(20)
        return "too late"

    @router.chat(timeout=0.2)
    def late_plain(request: ChatRequest) -> str:
        time.sleep(0.4)
        return "too late"

    for name in ("spent", "spent_async"):
        # Each is for the handlers of one kind.
        @router.chat(name, budget="100 tokens/day")
        def dear(request: ChatRequest) -> Any:
            yield "dear"
            yield Usage(60, 60)

    @router.chat
    def speaks(request: ChatRequest) -> Iterator[str]:
        with working("speaks"):
            while True:
                yield "more "
                time.sleep(0.02)

    @router.chat
    async def speaks_async(request: ChatRequest) -> AsyncIterator[str]:
        with working("speaks_async"):
            while True:
                yield "more "
                await asyncio.sleep(0.02)

    for name in ("endless", "hang", "stall"):
        router.add_model(name, OpenAI(f"{UPSTREAM}/v1", name))
    router.add_model("gpt", OpenAI(f"{UPSTREAM}/v1", "ok"))
    router.add_model("down", OpenAI(f"{UPSTREAM}/v1", "500"))
    router.add_model("smart", Route("hidden", "broken", "down", "late", "gpt"))
    return router


def register(server: Any) -> None:
    @server.tool
    def ask(ctx: SyncContext, model: str | None = None) -> dict[str, Any]:
        return told(lambda: ctx.complete("hi", model=model, max_tokens=20))

    @server.tool
    async def ask_async(ctx: Context, model: str | None = None) -> dict[str, Any]:
        try:
            completion = await ctx.complete("hi", model=model, max_tokens=20)
        except ModelError as error:
            return failure(error)
        return {"text": completion.text, "model": completion.model}

    @server.tool
    def find(ctx: SyncContext, model: str) -> Point:
        return ctx.complete("Where?", model=model, returns=Point)

    @server.tool
    async def find_async(ctx: Context, model: str) -> Point:
        return await ctx.complete("Where?", model=model, returns=Point)

    @server.tool(annotations={"readOnlyHint": True})
    def at_work() -> dict[str, int]:
        gc.collect()
        # isinstance would ask proxies, such as Django's settings, for what they stand for.
        tasks: list[Any] = [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task)]
        return {
            "generators": OPEN.total(),
            "tasks": sum(not one.done() for one in tasks),
            "sockets": sum(map(is_socket, os.listdir("/proc/self/fd"))),
        }

    server.include_router(models())


def is_socket(number: str) -> bool:
    """Whether a file descriptor of this process is a socket; others may close it meanwhile."""
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except FileNotFoundError:
        return False


def told(ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        completion = ask()
    except ModelError as error:
        return failure(error)
    return {"text": completion.text, "model": completion.model}


def failure(error: ModelError) -> dict[str, Any]:
    return {
        "status": error.status,
        "message": str(error),
        "waits": error.retry_after is not None,
    }


def alone() -> MCPServer:
    server = MCPServer("asking", **OPTIONS)
    register(server)
    return server


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    mount(app, "/mcp", alone())
    return app


def starlette() -> Any:
    from starlette.applications import Starlette

    from mcp_mount_starlette import mount

    app = Starlette()
    mount(app, "/mcp", alone())
    return app


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask("asking")
    register(MCPMount(app, "/mcp", name="asking", **OPTIONS))
    return app


def _set_django_up() -> None:
    import django
    from django.conf import settings

    settings.configure(
        ROOT_URLCONF="tests.integrations.asking_urls",
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="for-tests-only",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "mcp_mount_django"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": ":memory:",
                "ATOMIC_REQUESTS": True,
            }
        },
        USE_TZ=True,
    )
    django.setup()


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _set_django_up()
    return get_wsgi_application()


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _set_django_up()
    return get_asgi_application()
