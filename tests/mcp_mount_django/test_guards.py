"""What a server declares of its callers holds wherever it is served, and one user is the user of a
request whichever way code asks."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

import mcp_mount
from mcp_mount import Context
from mcp_mount.testing import Client, RPCError
from tests.requests import stateless

pytestmark = pytest.mark.usefixtures("project", "own_servers")

ADA = {"authorization": "Bearer ada"}


def user(token: str) -> Any:
    """Ada, and Bob, who has left."""
    from tests.mcp_mount_django.ledger.models import Member

    known = {"ada": Member(pk=7, email="ada@example.org")}
    return known.get(token) or (Member(pk=8, is_active=False) if token == "bob" else None)


def guarded(**options: Any) -> Any:
    from django.contrib.auth.decorators import login_required
    from django.http import HttpRequest, HttpResponse

    from mcp_mount_django import MCPServer, bearer_token

    options = {"authentication": [bearer_token(user)], "login_required": True, **options}
    server = MCPServer("guarded", **options)

    @server.tool
    def plain(request: HttpRequest) -> str:
        return str(request.user.email)

    @server.tool
    async def coroutine(request: HttpRequest) -> str:
        found = await request.auser()
        assert found is request.user
        return str(found.email)

    @server.tool
    async def aloud(ctx: Context) -> str:
        await ctx.report_progress(1)
        return str((await ctx.request.auser()).email)

    @login_required
    async def exposed(request: HttpRequest) -> HttpResponse:
        return HttpResponse((await request.auser()).email)

    server.add_view(exposed, {"type": "object"})
    return server


def beside(kind: str, server: Any) -> Any:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    from mcp_mount_django import mount

    if kind == "mount":
        return mount(get_wsgi_application(), "/mcp", server)
    if kind == "mount-asgi":
        return mount(get_asgi_application(), "/mcp", server)
    if kind == "mount_wsgi":
        return mcp_mount.mount_wsgi(get_wsgi_application(), "/mcp", server)
    return mcp_mount.mount_asgi(get_asgi_application(), "/mcp", server)


KINDS = ["mount", "mount-asgi", "mount_wsgi", "mount_asgi"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", ["plain", "coroutine", "aloud", "exposed"])
def test_authenticators_are_asked_beside_the_project(kind: str, tool: str) -> None:
    app = beside(kind, guarded())
    with Client(app, path="/mcp", headers={"host": "localhost", **ADA}) as client:
        assert client.call_tool(tool).text == "ada@example.org"
    for wrong in ({}, {"authorization": "Bearer bob"}, {"authorization": "Bearer nobody"}):
        with (
            Client(app, path="/mcp", headers={"host": "localhost", **wrong}) as client,
            pytest.raises(RPCError, match=r"^(Authentication required|.* not valid)"),
        ):
            client.call_tool(tool)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/tools"])
def test_every_face_of_a_server_beside_the_project_is_guarded(path: str) -> None:
    import asyncio

    app = beside("mount-asgi", guarded())

    async def ask(headers: dict[str, str]) -> int:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            if path == "/mcp":
                own, body = stateless("tools/list")
                answer = await client.post(path, headers={**own, **headers}, content=body)
            else:
                answer = await client.get(path, headers=headers)
            return answer.status_code

    assert asyncio.run(ask({})) == 401


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"login_required": True}, "LOGIN_REQUIRED"),
        ({"permission": "ledger.view_entry"}, "permission='ledger.view_entry' of the server"),
    ],
)
def test_a_server_that_wants_users_is_not_mounted_where_nobody_knows_any(
    options: dict[str, Any], words: str
) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from mcp_mount_django import MCPServer, mount

    server = MCPServer("open", **options)
    with pytest.raises(ImproperlyConfigured) as error:
        mount(lambda environ, start_response: [], "/mcp", server)
    assert words in str(error.value)
    assert "Give it authentication=[...]" in str(error.value)


def test_a_users_permission_is_refused_beside_too() -> None:
    from django.core.exceptions import ImproperlyConfigured

    from mcp_mount_django import MCPServer, mount

    server = MCPServer("open")
    server.tool(name="close", permission="ledger.view_entry")(lambda: "closed")
    with pytest.raises(ImproperlyConfigured, match=r"permission='ledger\.view_entry' of close"):
        mount(lambda environ, start_response: [], "/mcp", server)


def test_users_who_may_not_log_in_are_refused_wherever_they_come_from() -> None:
    from django.http import HttpRequest

    from mcp_mount.wire.errors import ProtocolError
    from mcp_mount_django.authentication import Authentication

    class Always:
        """An authentication class that does not look, as DRF's remote user."""

        def authenticate(self, request: Any) -> Any:
            return user("bob"), None

        def authenticate_header(self, request: Any) -> str:
            return "Bearer"

    for authenticator in (lambda request: user("bob"), Always):
        request = HttpRequest()
        with pytest.raises(ProtocolError) as refusal:
            Authentication([authenticator], login_required=False).admit(request)
        assert refusal.value.status(stateless=True) == 401
        assert request.user is None or request.user.is_anonymous


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_every_route_of_the_view_answers_on_both_interfaces(kind: str) -> None:
    import asyncio

    from django.test import AsyncClient, override_settings
    from django.test import Client as Browser
    from django.urls import include, path

    from mcp_mount.auth import JWT
    from mcp_mount_django import MCPServer

    server = MCPServer(
        "routes", auth=JWT("https://login.example.com"), resource="https://api.example.com/mcp"
    )
    server.tool(name="one")(lambda: "one")

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    async def ask(address: str) -> int:
        return int((await AsyncClient().get(address)).status_code)

    found = {}
    with override_settings(ROOT_URLCONF=Urls):
        for route in ("/mcp/.well-known/oauth-protected-resource", "/mcp/tools", "/mcp", "/mcp/x"):
            if kind == "wsgi":
                found[route] = Browser().get(route).status_code
            else:
                found[route] = asyncio.run(ask(route))
    assert found == {
        "/mcp/.well-known/oauth-protected-resource": 200,
        "/mcp/tools": 401,
        "/mcp": 401,
        "/mcp/x": 401,
    }
