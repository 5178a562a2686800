"""The same tools in each host: each writes two rows, and waits between them until it is released.

A tool tells what it does by files in a folder: that it has begun to wait, that its client has left,
that it has ended.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends

from mcp_mount import Audit, Context, SyncContext, ToolsRouter

FOLDER = Path(os.environ.get("ROWS_FOLDER", "."))
DATABASE = FOLDER / "rows.sqlite3"
LATE_SECONDS = 0.3
"""The time limit of the tools that take too long, and half of how long they take."""


def create() -> None:
    with sqlite3.connect(DATABASE) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE rows (key TEXT, word TEXT)")


def rows(key: str) -> list[str]:
    connection = sqlite3.connect(DATABASE)
    try:
        found = connection.execute("SELECT word FROM rows WHERE key = ? ORDER BY word", (key,))
        return [word for (word,) in found]
    finally:
        connection.close()


def tell(key: str, what: str) -> None:
    (FOLDER / f"{key}.{what}").touch()


def told(key: str, what: str) -> bool:
    return (FOLDER / f"{key}.{what}").exists()


def pause(key: str, ctx: SyncContext | None, seconds: float = 30.0) -> None:
    tell(key, "began")
    end = time.monotonic() + seconds
    while not told(key, "go") and time.monotonic() < end:
        if ctx is not None and ctx.cancelled:
            tell(key, "left")
        time.sleep(0.005)


async def pause_async(key: str, seconds: float = 30.0) -> None:
    tell(key, "began")
    end = time.monotonic() + seconds
    while not told(key, "go") and time.monotonic() < end:
        await asyncio.sleep(0.005)


def refuse(value: Any) -> None:
    raise ValueError("This is refused")


def fail_after(record: Any) -> None:
    raise RuntimeError("the audit is broken")


AUDIT = Audit(after=fail_after)
OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "_late": {"timeout": LATE_SECONDS},
    "_refused": {"check_result": refuse},
    "_mistyped": {"output_schema": int},
    "_large": {"max_result_bytes": 10},
}
"""How the tools of each kind fail, by how their names end."""


def add_tools(
    router: ToolsRouter, plain: Callable[..., Any], coroutine: Callable[..., Any], touch: Any
) -> None:
    """Register each kind of tool: `plain`, `coroutine`, `plain_late` and so on."""
    for suffix, options in OPTIONS.items():
        router.add_tool(plain, name=f"plain{suffix}", **options)
        router.add_tool(coroutine, name=f"coroutine{suffix}", **options)
    router.add_tool(touch, name="touch")


def session() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(DATABASE, timeout=30, check_same_thread=False)
    try:
        yield connection
        connection.commit()
    finally:
        # What is not committed is rolled back.
        connection.close()


Session = Annotated[sqlite3.Connection, Depends(session)]


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount import MCPServer
    from mcp_mount_fastapi import mount

    tools = ToolsRouter()

    def plain(ctx: SyncContext, db: Session, key: str, seconds: float = 30.0) -> str:
        db.execute("INSERT INTO rows VALUES (?, 'a')", (key,))
        pause(key, ctx, seconds)
        db.execute("INSERT INTO rows VALUES (?, 'b')", (key,))
        tell(key, "ended")
        return "written " * 10

    async def coroutine(ctx: Context, db: Session, key: str, seconds: float = 30.0) -> str:
        try:
            db.execute("INSERT INTO rows VALUES (?, 'a')", (key,))
            await pause_async(key, seconds)
            db.execute("INSERT INTO rows VALUES (?, 'b')", (key,))
        finally:
            tell(key, "ended")
        return "written " * 10

    def touch(db: Session) -> str:
        db.execute("INSERT INTO rows VALUES ('touch', 'x')")
        return "touched"

    add_tools(tools, plain, coroutine, touch)
    server = MCPServer("rows", secret_key="for-tests-only", audit=AUDIT)
    server.include_router(tools)
    api = FastAPI()
    mount(api, "/mcp", server)
    _expose(api)
    return api


def _expose(api: Any) -> None:
    """Endpoints as tools, on a server without a time limit and on one with it."""
    from mcp_mount import MCPServer
    from mcp_mount_fastapi import expose, mount

    @api.post("/plain/{key}", operation_id="endpoint")
    def endpoint(db: Session, key: str) -> str:
        db.execute("INSERT INTO rows VALUES (?, 'a')", (key,))
        pause(key, None)
        db.execute("INSERT INTO rows VALUES (?, 'b')", (key,))
        tell(key, "ended")
        return "written"

    @api.post("/coroutine/{key}", operation_id="coroutine_endpoint")
    async def coroutine_endpoint(db: Session, key: str) -> str:
        try:
            db.execute("INSERT INTO rows VALUES (?, 'a')", (key,))
            await pause_async(key)
            db.execute("INSERT INTO rows VALUES (?, 'b')", (key,))
        finally:
            tell(key, "ended")
        return "written"

    @api.post("/job/{key}", operation_id="endpoint_with_a_job")
    def endpoint_with_a_job(key: str, jobs: BackgroundTasks) -> str:
        async def job() -> None:
            await pause_async(key)
            tell(key, "ended")

        jobs.add_task(job)
        return "accepted"

    for name, options in {"exposed": {}, "exposed_late": {"timeout": LATE_SECONDS}}.items():
        server = MCPServer(name, secret_key="for-tests-only", **options)
        expose(api, server, paths=["/plain/*", "/coroutine/*", "/job/*"])
        mount(api, f"/{name}", server)


def flask() -> Any:
    from flask import Flask, g

    from mcp_mount import MCPServer
    from mcp_mount_flask import MCPMount

    app = Flask("rows")

    def db() -> sqlite3.Connection:
        if "db" not in g:
            g.db = sqlite3.connect(DATABASE, timeout=30)
        connection: sqlite3.Connection = g.db
        return connection

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        if "db" in g:
            g.db.close()

    tools = ToolsRouter()

    def plain(ctx: SyncContext, key: str, seconds: float = 30.0) -> str:
        db().execute("INSERT INTO rows VALUES (?, 'a')", (key,))
        pause(key, ctx, seconds)
        db().execute("INSERT INTO rows VALUES (?, 'b')", (key,))
        db().commit()
        tell(key, "ended")
        return "written " * 10

    async def coroutine(ctx: Context, key: str, seconds: float = 30.0) -> str:
        # A coroutine runs on the event loop's thread, so it has a connection of its own.
        connection = sqlite3.connect(DATABASE, timeout=30)
        try:
            connection.execute("INSERT INTO rows VALUES (?, 'a')", (key,))
            await pause_async(key, seconds)
            connection.execute("INSERT INTO rows VALUES (?, 'b')", (key,))
            connection.commit()
        finally:
            connection.close()
            tell(key, "ended")
        return "written " * 10

    def touch() -> str:
        db().execute("INSERT INTO rows VALUES ('touch', 'x')")
        db().commit()
        return "touched"

    add_tools(tools, plain, coroutine, touch)
    server = MCPServer("rows", secret_key="for-tests-only", audit=AUDIT)
    server.include_router(tools)
    MCPMount(app, "/mcp", server)
    return app


def _django() -> None:
    import django
    from django.conf import settings

    options: dict[str, Any] = {"timeout": 30}
    if django.VERSION >= (5, 1):
        options["transaction_mode"] = "IMMEDIATE"
    settings.configure(
        SECRET_KEY="for-tests-only",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["mcp_mount_django"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": DATABASE,
                "ATOMIC_REQUESTS": True,
                "OPTIONS": options,
            }
        },
    )
    django.setup()
    from asgiref.sync import sync_to_async
    from django.db import connection
    from django.urls import include, path

    from mcp_mount_django import MCPServer

    def insert(key: str, word: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO rows VALUES (%s, %s)", [key, word])

    tools = ToolsRouter()

    def plain(ctx: SyncContext, key: str, seconds: float = 30.0) -> str:
        insert(key, "a")
        pause(key, ctx, seconds)
        insert(key, "b")
        tell(key, "ended")
        return "written " * 10

    async def coroutine(ctx: Context, key: str, seconds: float = 30.0) -> str:
        try:
            await sync_to_async(insert)(key, "a")
            await pause_async(key, seconds)
            await sync_to_async(insert)(key, "b")
        finally:
            tell(key, "ended")
        return "written " * 10

    def touch() -> str:
        insert("touch", "x")
        return "touched"

    add_tools(tools, plain, coroutine, touch)
    server = MCPServer("rows", audit=AUDIT)
    server.include_router(tools)
    globals()["urlpatterns"] = [path("mcp", include(server.urls))]


def django_wsgi() -> Any:
    _django()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    _django()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()
