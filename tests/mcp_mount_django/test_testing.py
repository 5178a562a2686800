"""The clients for tests, in tests of a Django project: its connections are those of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import Context
from mcp_mount.testing import AsyncClient, Client, RPCError

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


@pytest.mark.parametrize("without", ["", "sessions"])
@pytest.mark.parametrize("authenticated", [False, True])
def test_the_user_of_a_client_calls_whatever_the_server_asks(
    authenticated: bool, without: str
) -> None:
    from django.conf import settings
    from django.http import HttpRequest
    from django.test import TestCase, override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer, bearer_token
    from mcp_mount_django.testing import AsyncClient as OwnAsyncClient
    from mcp_mount_django.testing import Client as OwnClient
    from tests.mcp_mount_django.ledger.models import Member

    server = MCPServer(
        "users",
        authentication=[bearer_token(lambda token: None)] if authenticated else [],
        login_required=True,
    )

    @server.tool
    def plain(request: HttpRequest) -> str:
        return request.user.email

    @server.tool
    async def coroutine(request: HttpRequest) -> str:
        return (await request.auser()).email

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    middleware = [
        one
        for one in settings.MIDDLEWARE
        if not without or not one.endswith(("SessionMiddleware", "AuthenticationMiddleware"))
    ]

    class Tests(TestCase):
        def setUp(self) -> None:
            self.ada = Member.objects.create_user("ada@example.org", "secret")

        def test(self) -> None:
            for revision in ("2026-07-28", "2025-11-25"):
                with OwnClient(user=self.ada, revision=revision) as client:
                    for tool in ("plain", "coroutine"):
                        assert client.call_tool(tool).text == "ada@example.org"

        async def test_async(self) -> None:
            for revision in ("2026-07-28", "2025-11-25"):
                async with OwnAsyncClient(user=self.ada, revision=revision) as client:
                    for tool in ("plain", "coroutine"):
                        assert (await client.call_tool(tool)).text == "ada@example.org"

    with override_settings(ROOT_URLCONF=Urls, MIDDLEWARE=middleware):
        run(Tests("test"))
        run(Tests("test_async"))


def test_a_client_may_have_a_token(database: None) -> None:
    from django.http import HttpRequest
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount.auth import JWT, AccessToken
    from mcp_mount_django import MCPServer
    from mcp_mount_django.testing import Client as OwnClient
    from tests.mcp_mount_django.ledger.models import Member

    Member.objects.create_user("ada@example.org", "secret")
    server = MCPServer(
        "tokens",
        auth=JWT("https://login.example.com"),
        resource="https://api.example.com/mcp",
        find_user=lambda token: Member.objects.get(email=token.subject),
    )

    @server.tool(scopes="read")
    def who(request: HttpRequest) -> str:
        return request.user.email

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    with override_settings(ROOT_URLCONF=Urls):
        token = AccessToken("ada@example.org", scopes=["read"])
        with OwnClient(token=token) as client:
            assert client.call_tool("who").text == "ada@example.org"
        with OwnClient(token="made up") as client, pytest.raises(RPCError):
            client.call_tool("who")


def test_the_name_of_a_user_is_no_user(project: None) -> None:
    from mcp_mount_django.testing import AsyncClient as OwnAsyncClient
    from mcp_mount_django.testing import Client as OwnClient

    for kind in (OwnClient, OwnAsyncClient):
        with pytest.raises(TypeError, match="must be a user of the project, not the name 'ada'"):
            kind(user="ada")
