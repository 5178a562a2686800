"""The clients for tests, in tests of a Django project: its connections are those of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import Context
from mcp_mount.testing import AsyncClient, Client

pytestmark = pytest.mark.usefixtures("project", "own_servers")


@pytest.fixture
def apps() -> Iterator[dict[str, Any]]:
    """A server, alone and wherever it can be mounted."""
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer, mount
    from tests.mcp_mount_django.ledger.models import Category

    server = MCPServer("tested")

    @server.tool
    def add(name: str) -> int:
        Category.objects.create(name=name)
        return Category.objects.count()

    @server.tool
    async def add_and_speak(name: str, ctx: Context) -> int:
        await Category.objects.acreate(name=name)
        await ctx.report_progress(1)
        return await Category.objects.acount()

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    with override_settings(ROOT_URLCONF=Urls):
        yield {
            "server": server,
            "wsgi": get_wsgi_application(),
            "beside_wsgi": mount(get_wsgi_application(), "/mcp", server),
            "asgi": get_asgi_application(),
            "beside_asgi": mount(get_asgi_application(), "/mcp", server),
        }


def run(case: Any) -> None:
    import unittest

    result = unittest.TestResult()
    case(result)
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]


@pytest.mark.parametrize("name", ["server", "wsgi", "beside_wsgi"])
def test_a_client_shares_the_transaction_of_a_test_case(apps: dict[str, Any], name: str) -> None:
    from django.test import TestCase

    from tests.mcp_mount_django.ledger.models import Category

    class Tests(TestCase):
        def test(self) -> None:
            Category.objects.create(name="of the test")
            for number, revision in enumerate(("2026-07-28", "2025-11-25")):
                own = Client(apps[name], revision=revision, headers={"host": "localhost"})
                with own as client:
                    for tool in ("add", "add_and_speak"):
                        assert not client.call_tool(tool, {"name": f"{tool}{number}"}).is_error
            assert Category.objects.count() == 5

    run(Tests("test"))
    assert not Category.objects.exists()


@pytest.mark.parametrize("name", ["server", "asgi", "beside_asgi"])
def test_a_client_of_coroutines_shares_the_transaction_of_a_test_case(
    apps: dict[str, Any], name: str
) -> None:
    from django.test import TestCase

    from tests.mcp_mount_django.ledger.models import Category

    class Tests(TestCase):
        async def test(self) -> None:
            await Category.objects.acreate(name="of the test")
            for number, revision in enumerate(("2026-07-28", "2025-11-25")):
                own = AsyncClient(apps[name], revision=revision, headers={"host": "localhost"})
                async with own as client:
                    for tool in ("add", "add_and_speak"):
                        result = await client.call_tool(tool, {"name": f"{tool}{number}"})
                        assert not result.is_error, result.text
            assert await Category.objects.acount() == 5

    run(Tests("test"))
    assert not Category.objects.exists()


def test_after_a_test_requests_end_their_connections_again(apps: dict[str, Any]) -> None:
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections

    with Client(apps["server"]) as client:
        client.list_tools()
    for signal in (request_started, request_finished):
        assert signal.disconnect(close_old_connections)
        signal.connect(close_old_connections)
