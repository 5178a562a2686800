"""Transactions of calls within calls, with ATOMIC_REQUESTS: also where a coroutine gathers them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from mcp_mount import Context, SyncContext, ToolError
from mcp_mount.testing import AsyncClient, Client

pytestmark = pytest.mark.usefixtures("project", "own_servers")


@pytest.fixture
def server() -> Any:
    from asgiref.sync import sync_to_async

    from mcp_mount_django import MCPServer
    from tests.mcp_mount_django.ledger.models import Category

    own = MCPServer("nested")

    def write(name: str) -> None:
        Category.objects.create(name=name)

    @own.tool
    async def pause(turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        return "over"

    @own.tool
    def plain(ctx: SyncContext, name: str, turns: int, fails: bool) -> str:
        write(f"{name}1")
        ctx.call_tool(pause, {"turns": turns})
        write(f"{name}2")
        if fails:
            raise ToolError("it failed")
        return name

    @own.tool
    async def coroutine(ctx: Context, name: str, turns: int, fails: bool) -> str:
        await sync_to_async(write)(f"{name}1")
        await asyncio.sleep(0.001 * turns)
        await sync_to_async(write)(f"{name}2")
        if fails:
            raise ToolError("it failed")
        return name

    @own.tool
    async def together(ctx: Context, calls: list[dict[str, Any]], aloud: bool) -> list[str]:
        if aloud:
            await ctx.report_progress(1)
        made = [ctx.call_tool(one.pop("tool"), one) for one in calls]
        return [str(one) for one in await asyncio.gather(*made, return_exceptions=True)]

    return own


@pytest.fixture
def rows(project: None) -> Iterator[Any]:
    """The rows that are committed, and gone after the test."""
    from tests.mcp_mount_django.ledger.models import Category

    yield lambda: sorted(one.name for one in Category.objects.all())
    Category.objects.all().delete()


@pytest.fixture(params=["wsgi", "asgi"])
def client(request: pytest.FixtureRequest, server: Any) -> Iterator[Any]:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import include, path

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    make = {"wsgi": get_wsgi_application, "asgi": get_asgi_application}[request.param]
    with (
        override_settings(ROOT_URLCONF=Urls),
        Client(make(), headers={"host": "localhost"}) as own,
    ):
        yield own


@pytest.mark.parametrize("aloud", [False, True])
@pytest.mark.parametrize("first", ["plain", "coroutine"])
@pytest.mark.parametrize("second", ["plain", "coroutine"])
def test_of_calls_that_are_gathered_those_that_fail_leave_nothing_and_others_all(
    client: Any, rows: Any, first: str, second: str, aloud: bool
) -> None:
    from tests.mcp_mount_django.ledger.models import Category

    for turns, a_fails, b_fails in product((1, 20), (False, True), (False, True)):
        calls = [
            {"tool": first, "name": "a", "turns": turns, "fails": a_fails},
            {"tool": second, "name": "b", "turns": 10, "fails": b_fails},
        ]
        result = client.call_tool("together", {"calls": calls, "aloud": aloud})
        assert not result.is_error, result.text
        expected = [*([] if a_fails else ["a1", "a2"]), *([] if b_fails else ["b1", "b2"])]
        assert rows() == expected
        Category.objects.all().delete()


def test_a_transaction_lasts_until_what_is_called_within_it_has_ended(
    server: Any, rows: Any
) -> None:
    """A coroutine that is cancelled leaves nothing, nor do plain functions that it has called."""
    from tests.mcp_mount_django.ledger.models import Category

    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    @server.tool
    async def wait() -> str:
        began.set()
        await asyncio.to_thread(goes_on.wait, 10)
        return "over"

    @server.tool
    def slow(ctx: SyncContext) -> str:
        Category.objects.create(name="before")
        ctx.call_tool(wait)
        Category.objects.create(name="after")
        ended.set()
        return "done"

    @server.tool
    async def calls_slow(ctx: Context) -> str:
        return str(await ctx.call_tool(slow))

    async def leave() -> None:
        client = AsyncClient(server)
        task = asyncio.create_task(client.call_tool("calls_slow"))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):
            # Until the server has heard of it, on this very loop.
            await asyncio.sleep(0)
        goes_on.set()
        await asyncio.to_thread(ended.wait, 10)
        # What comes on the same thread comes after what goes on there.
        assert (await client.call_tool("pause", {"turns": 1})).text == "over"

    asyncio.run(leave())
    assert rows() == []


def test_a_call_that_is_cancelled_while_its_transaction_begins_ends_it(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would stay open on its thread, and swallow what later requests write there."""
    from mcp_mount_django.calls import _Transactions

    enter, leave = _Transactions.__enter__, _Transactions.__exit__
    began, goes_on, told = threading.Event(), threading.Event(), list[str]()

    def slowly(self: Any) -> None:
        enter(self)
        told.append("begun")
        began.set()
        goes_on.wait(10)

    def noted(self: Any, *error: Any) -> None:
        leave(self, *error)
        told.append("ended")

    async def never() -> None:
        told.append("run")

    monkeypatch.setattr(_Transactions, "__enter__", slowly)
    monkeypatch.setattr(_Transactions, "__exit__", noted)

    async def cancel() -> None:
        call: Any = SimpleNamespace(function=never, run_async=never, failed=False)
        task = asyncio.create_task(server.calls.run_async(call))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_soon(goes_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert told == ["begun", "ended"]
