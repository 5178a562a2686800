"""The same tools with their policies in each host, for real web servers."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from mcp_mount import Audit, Context, MCPServer, SyncContext, Timeout

RECORDS: list[str] = []
OPTIONS: dict[str, Any] = {
    "secret_key": "for-tests-only",
    "audit": Audit(after=lambda record: RECORDS.append(f"{record.name} {record.outcome}")),
    "telemetry": True,
    "log_calls": True,
}


def register(server: Any) -> None:
    @server.tool(throttle="2/minute")
    def limited() -> str:
        return "done"

    @server.tool(timeout=Timeout(0.3, interrupt=True))
    def spin() -> str:
        while True:
            pass

    @server.tool(timeout=0.3)
    def slow() -> str:
        time.sleep(0.5)
        return "too late"

    @server.tool(timeout=0.3)
    async def wait() -> str:
        await asyncio.sleep(20)
        return "too late"

    @server.tool(cache=60)
    def kept() -> float:
        return time.time()

    @server.tool(max_concurrency=1)
    def one_by_one() -> list[float]:
        started = time.time()
        time.sleep(0.05)
        return [started, time.time()]

    @server.tool(check=_small, max_argument_depth=2, max_result_bytes=400)
    async def checked(number: int, more: Any = None) -> str:
        return "x" * number

    @server.tool
    async def chain(ctx: Context) -> float:
        return await ctx.call_tool(kept)

    @server.tool
    def chain_plain(ctx: SyncContext) -> str:
        return ctx.call_tool(checked, {"number": 3})

    @server.tool
    def records() -> list[str]:
        return RECORDS

    @server.call_middleware
    async def marked(call: Any, call_next: Any) -> Any:
        await asyncio.sleep(0)
        return await call_next()


def _small(number: int) -> None:
    if number > 1000:
        raise ValueError("That is too many")


def standalone() -> MCPServer:
    server = MCPServer("live", **OPTIONS)
    register(server)
    return server


def wsgi() -> Any:
    return standalone().wsgi


def flask() -> Any:
    from flask import Flask

    from mcp_mount_flask import MCPMount

    app = Flask(__name__)
    register(MCPMount(app, "/mcp", name="live", **OPTIONS))
    return app


def django() -> Any:
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    settings.configure(
        ROOT_URLCONF="tests.policies.live_urls",
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
    return get_wsgi_application() if os.environ["INTERFACE"] == "wsgi" else get_asgi_application()
