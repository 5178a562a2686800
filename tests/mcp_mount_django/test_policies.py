"""Policies in Django: outside of the transactions of calls, and in the settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import SyncContext, Timeout
from mcp_mount.testing import Client

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server(project: None) -> Iterator[Any]:
    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers
    from tests.mcp_mount_django.ledger.models import Category

    own = MCPServer("policies")

    @own.tool(throttle="1/minute")
    def once(name: str) -> str:
        Category.objects.create(name=name)
        return name

    @own.tool(cache=60)
    def count() -> int:
        return Category.objects.count()

    @own.tool(timeout=0.2)
    def slow(name: str) -> str:
        Category.objects.create(name=name)
        time.sleep(0.3)
        return name

    @own.tool(timeout=0.2)
    def slow_with_a_context(ctx: SyncContext, name: str) -> str:
        Category.objects.create(name=name)
        while not ctx.cancelled:
            time.sleep(0.01)
        return name

    @own.tool(timeout=Timeout(0.2, interrupt=True))
    def interrupted(name: str) -> str:
        Category.objects.create(name=name)
        while True:
            time.sleep(0.001)

    @own.tool
    def outer(ctx: SyncContext, name: str) -> str:
        Category.objects.create(name=f"{name} outer")
        try:
            return ctx.call_tool("fail_after_writing", {"name": f"{name} inner"})
        except Exception as error:
            return f"went on after: {error}"

    @own.tool
    def fail_after_writing(name: str) -> str:
        Category.objects.create(name=name)
        raise ValueError("no")

    yield own
    servers.discard(own)


def names() -> list[str]:
    from tests.mcp_mount_django.ledger.models import Category

    return list(Category.objects.order_by("pk").values_list("name", flat=True))


def test_what_a_policy_refuses_or_answers_opens_no_transaction(server: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with Client(server) as client:
        assert not client.call_tool("once", {"name": "a"}).is_error
        assert client.call_tool("count").data == 1
        with CaptureQueriesContext(connection) as queries:
            assert client.call_tool("once", {"name": "b"}).is_error
            assert client.call_tool("count").data == 1
    assert [one["sql"] for one in queries] == []
    assert names() == ["a"]


@pytest.mark.parametrize(
    ("tool", "fate"),
    [
        ("slow", ": its result was dropped"),
        ("slow_with_a_context", ": its result was dropped"),
        ("interrupted", " and was interrupted"),
    ],
)
def test_a_tool_that_takes_too_long_has_written_nothing(tool: str, fate: str, server: Any) -> None:
    with Client(server) as client:
        result = client.call_tool(tool, {"name": "a"})
    assert result.text == f"{tool} took longer than 0.2 seconds{fate}"
    assert names() == []


def test_a_tool_that_another_calls_has_a_transaction_within(server: Any) -> None:
    with Client(server) as client:
        text = client.call_tool("outer", {"name": "a"}).text
    assert text.startswith("went on after: The tool 'fail_after_writing' failed.")
    assert names() == ["a outer"]


def test_the_setting_declares_policies_for_all(project: None) -> None:
    from django.test import override_settings

    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    middleware = "tests.mcp_mount_django.test_policies.shouting"
    setting = {
        "THROTTLE": "1/minute",
        "MAX_RESULT_BYTES": 1000,
        "CALL_MIDDLEWARE": [middleware],
    }
    with override_settings(MCP_MOUNT=setting):
        server = MCPServer("settings")

    @server.tool
    def say(word: str) -> str:
        return word

    with Client(server) as client:
        assert client.call_tool("say", {"word": "hi"}).text == "HI"
        assert "too often" in client.call_tool("say", {"word": "hi"}).text
    servers.discard(server)


def shouting(call: Any) -> Any:
    call.arguments = {**call.arguments, "word": call.arguments["word"].upper()}
    return (yield)


def test_the_checks_know_access_tokens(project: None) -> None:
    from types import ModuleType

    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount.auth import JWT
    from mcp_mount_django import MCPServer
    from mcp_mount_django.checks import check_deployment, check_guards, check_servers
    from mcp_mount_django.servers import servers

    server = MCPServer("tokens", auth=JWT("https://login.example.com"), open=False)

    @server.tool
    def say(word: str) -> str:
        return word

    def found(check: Any) -> list[str]:
        return [one.id for one in check() if "'tokens'" in one.msg]

    bare, whole = ModuleType("bare"), ModuleType("whole")
    bare.urlpatterns = [path("mcp", include(server.urls))]  # type: ignore[attr-defined]
    whole.urlpatterns = [*bare.urlpatterns, path("", include("mcp_mount_django.well_known"))]  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF=bare):
        assert found(check_servers) == ["mcp_mount.W007"]
    with override_settings(ROOT_URLCONF=whole):
        assert found(check_servers) == []
    with override_settings(ALLOWED_HOSTS=["shop.example"]):
        assert found(check_deployment) == []
    with override_settings(ALLOWED_HOSTS=["*"]):
        assert found(check_deployment) == ["mcp_mount.E008"]
        assert found(check_guards) == []
        server.configure(resource="https://shop.example/mcp", auth_required=False)
        assert found(check_guards) == ["mcp_mount.W004"]
    servers.discard(server)
