"""Handlers that are transactions by their own word, and those that are none."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import Context, DefinitionError, SyncContext, ToolError
from mcp_mount.testing import Client

pytestmark = pytest.mark.usefixtures("database", "own_servers")
REVISIONS = ["2026-07-28", "2025-11-25"]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database has ATOMIC_REQUESTS."""
    from django.db import connections

    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", False)


def categories() -> set[str]:
    from tests.mcp_mount_django.ledger.models import Category

    return set(Category.objects.values_list("name", flat=True))


def server() -> Any:
    from django.db import transaction

    from mcp_mount_django import MCPServer, atomic
    from tests.mcp_mount_django.ledger.models import Category

    own = MCPServer("atomic", open=True)

    def write(name: str, fails: bool = False) -> str:
        Category.objects.create(name=name)
        if fails:
            raise ToolError("No")
        return name

    async def write_async(name: str, fails: bool = False) -> str:
        await Category.objects.acreate(name=name)
        if fails:
            raise ToolError("No")
        return name

    @atomic
    def atomic_plain(name: str, fails: bool = False) -> str:
        return write(name, fails)

    @atomic(using=["default"])
    async def atomic_async(name: str, fails: bool = False) -> str:
        return await write_async(name, fails)

    @atomic
    def atomic_aloud(ctx: SyncContext, name: str, fails: bool = False) -> str:
        ctx.report_progress(1)
        return write(name, fails)

    @atomic
    async def atomic_async_aloud(ctx: Context, name: str, fails: bool = False) -> str:
        await ctx.report_progress(1)
        return await write_async(name, fails)

    @transaction.non_atomic_requests
    def loose_plain(name: str, fails: bool = False) -> str:
        return write(name, fails)

    @transaction.non_atomic_requests
    async def loose_async(name: str, fails: bool = False) -> str:
        return await write_async(name, fails)

    for tool in (
        *(atomic_plain, atomic_async, atomic_aloud, atomic_async_aloud),
        *(loose_plain, loose_async),
    ):
        own.tool(tool)
    return own


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "tool", ["atomic_plain", "atomic_async", "atomic_aloud", "atomic_async_aloud"]
)
def test_an_atomic_handler_that_fails_leaves_nothing(
    without: None, tool: str, revision: str
) -> None:
    with Client(server(), revision=revision, headers={"host": "localhost"}) as client:
        assert not client.call_tool(tool, {"name": "kept"}).is_error
        assert client.call_tool(tool, {"name": "lost", "fails": True}).text == "No"
    assert categories() == {"kept"}


@pytest.mark.parametrize("tool", ["loose_plain", "loose_async"])
def test_a_handler_may_be_no_transaction_as_a_view_may(tool: str) -> None:
    with Client(server(), headers={"host": "localhost"}) as client:
        assert client.call_tool(tool, {"name": "written", "fails": True}).text == "No"
    assert categories() == {"written"}


def test_a_database_that_is_not_there_is_refused() -> None:
    from mcp_mount_django import atomic

    with pytest.raises(DefinitionError, match="DATABASES has no 'defualt'; did you mean 'default'"):
        atomic(using="defualt")
