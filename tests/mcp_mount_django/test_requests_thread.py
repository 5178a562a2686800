"""Where a handler runs under ASGI, when plain middleware keeps the thread of the request first."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mcp_mount import Context, SyncContext
from mcp_mount.testing import AsyncClient, Client

pytestmark = pytest.mark.usefixtures("project", "own_servers")

HEADERS = {"host": "localhost"}
seen = threading.local()


def plain_middleware(get_response: Any) -> Any:
    """As WhiteNoise's: it waits on the thread of the request until the view has responded."""

    def middleware(request: Any) -> Any:
        seen.thread = threading.get_ident()
        return get_response(request)

    return middleware


@pytest.fixture
def app() -> Any:
    from asgiref.sync import sync_to_async
    from django.core.asgi import get_asgi_application
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer

    server = MCPServer("threads")

    def here() -> bool:
        return getattr(seen, "thread", None) == threading.get_ident()

    @server.tool
    async def speaks_then_queries(ctx: Context) -> list[bool]:
        found = [await sync_to_async(here)()]
        for number in range(3):
            await ctx.report_progress(number)
            found.append(await sync_to_async(here)())
            found.append(await asyncio.create_task(sync_to_async(here)()))
        return found

    @server.tool
    def speaks(ctx: SyncContext) -> list[bool]:
        found = [here()]
        for number in range(3):
            ctx.report_progress(number)
            found.append(here())
        return found

    @server.tool
    def calls_a_coroutine(ctx: SyncContext) -> list[bool]:
        found: list[bool] = ctx.call_tool(speaks_then_queries)
        return [here(), *found, here()]

    @server.tool
    async def calls_what_speaks(ctx: Context) -> list[bool]:
        return list(await ctx.call_tool(speaks))

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    own = {
        "ROOT_URLCONF": Urls,
        "MIDDLEWARE": [f"{__name__}.plain_middleware"],
    }
    with override_settings(**own):
        yield get_asgi_application()


@pytest.mark.parametrize(
    "tool", ["speaks_then_queries", "speaks", "calls_a_coroutine", "calls_what_speaks"]
)
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_what_speaks_stays_on_the_thread_of_its_request(app: Any, tool: str, revision: str) -> None:
    with Client(app, path="/mcp", headers={"host": "localhost"}, revision=revision) as client:
        result = client.call_tool(tool)
    assert not result.is_error, result.text
    found = result.data
    assert set(found["result"] if isinstance(found, dict) else found) == {True}
    # What a tool within says of its progress is passed on.
    assert result.progress == [0, 1, 2]


@pytest.mark.parametrize("revision", ["2025-11-25"])
def test_a_question_goes_out_before_its_answer_is_waited_for(app: Any, revision: str) -> None:
    from django.urls import get_resolver

    server = get_resolver().url_patterns[0].url_patterns[0].callback.server

    from pydantic import BaseModel

    class Sure(BaseModel):
        sure: bool

    @server.tool
    def asks(ctx: SyncContext) -> str:
        return str(ctx.elicit("Sure?", Sure).data)

    @server.tool
    async def asks_within(ctx: Context) -> str:
        return str(await ctx.call_tool(asks))

    for tool in ("asks", "asks_within"):
        with Client(
            app,
            path="/mcp",
            headers={"host": "localhost"},
            revision=revision,
            elicit=lambda question: {"sure": True},
        ) as client:
            assert client.call_tool(tool).text == "sure=True"


@pytest.mark.parametrize("leaves", [False, True])
def test_the_thread_of_a_request_is_there_until_all_that_it_has_begun_has_ended(
    app: Any, leaves: bool
) -> None:
    """Also when the client was answered that the time is over, or has left: what a function goes on
    with is done where it was begun, in its transaction, which is rolled back if it was too late."""
    from asgiref.sync import sync_to_async
    from django.db import connection
    from django.urls import get_resolver

    from mcp_mount_django.signals import call_finished
    from tests.mcp_mount_django.ledger.models import Category

    server = get_resolver().url_patterns[0].url_patterns[0].callback.server
    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    found = list[Any]()

    def write(name: str) -> None:
        connection.ensure_connection()
        found.append((threading.get_ident(), id(connection.connection)))
        Category.objects.create(name=name)

    @server.tool
    async def late() -> str:
        began.set()
        await asyncio.to_thread(goes_on.wait, 10)
        await sync_to_async(write)("of the coroutine")
        return "done"

    @server.tool(timeout=60 if leaves else 0.05)
    def calls_late(ctx: SyncContext) -> str:
        write("before")
        ctx.call_tool(late)
        write("after")
        return "done"

    def hear(sender: Any, **said: Any) -> None:
        if said["name"] == "calls_late":
            ended.set()

    async def leave() -> None:
        task = asyncio.create_task(AsyncClient(app, headers=HEADERS).call_tool("calls_late"))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):
            # Until the server has heard of it, on this very loop.
            await asyncio.sleep(0)
        goes_on.set()
        assert await asyncio.to_thread(ended.wait, 10)

    call_finished.connect(hear)
    try:
        if leaves:
            asyncio.run(leave())
            assert len(found) == 3
        else:
            with Client(app, path="/mcp", headers=HEADERS) as client:
                assert "took longer than 0.05 seconds" in client.call_tool("calls_late").text
            goes_on.set()
            assert ended.wait(10)
            assert not Category.objects.exists()
        assert len(found) > 1
        assert len(set(found)) == 1
    finally:
        call_finished.disconnect(hear)
        Category.objects.all().delete()
