"""`find_user=`: the user behind a verified token or API key, as the host's own `request.user`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.testclient import TestClient

from mcp_mount import (
    AccessToken,
    Context,
    DefinitionError,
    MCPServer,
    SyncContext,
    ToolsRouter,
    mount_wsgi,
)
from mcp_mount.auth import APIKeys, TokenVerifier
from mcp_mount.testing import AsyncClient, Client, RPCError
from mcp_mount_flask import MCPMount
from mcp_mount_starlette import mount


@dataclass
class User:
    name: str
    roles: tuple[str, ...] = ()
    is_active: bool = True


USERS = {
    "ada": User("Ada", ("clerk",)),
    "gone": User("Gone", is_active=False),
}


def find(token: AccessToken) -> User | None:
    return USERS.get(token.subject)


async def find_async(token: AccessToken) -> User | None:
    await asyncio.sleep(0)
    return USERS.get(token.subject)


def broken(token: AccessToken) -> User:
    raise OSError("no database")


def nothing(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return []


def build(find_user: Any, **options: Any) -> MCPServer:
    auth = TokenVerifier(AccessToken)
    server = MCPServer("shop", auth=auth, find_user=find_user, **options)
    tools = ToolsRouter()

    @tools.tool
    def whoami(request: Request) -> str:
        return str(request.user.name)

    @tools.tool
    async def async_whoami(ctx: Context) -> str:
        return f"{ctx.request.user.name} ({ctx.caller})"

    @tools.tool(roles="clerk", permission=lambda request: request.user.name == "Ada")
    def guarded() -> str:
        return "yes"

    server.include_router(tools)
    return server


def alone(server: MCPServer) -> Any:
    return server


def starlette(server: MCPServer) -> Any:
    app = Starlette()
    mount(app, "/mcp", server)
    return app


def fastapi(server: MCPServer) -> Any:
    app = FastAPI()
    mount(app, "/mcp", server)
    return app


HOSTS = [alone, starlette, fastapi]


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize("find_user", [find, find_async])
@pytest.mark.parametrize("host", HOSTS)
def test_handlers_and_rules_see_the_user(
    host: Callable[[MCPServer], Any], find_user: Any, revision: str
) -> None:
    with Client(host(build(find_user)), token="ada", revision=revision) as client:
        assert client.call_tool("whoami").text == "Ada"
        assert client.call_tool("async_whoami").text == "Ada (ada)"
        assert client.call_tool("guarded").text == "yes"


@pytest.mark.parametrize("token", ["gone", "nobody"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_token_of_nobody_is_refused(host: Callable[[MCPServer], Any], token: str) -> None:
    with Client(host(build(find)), token=token) as client, pytest.raises(RPCError) as caught:
        client.call_tool("whoami")
    assert caught.value.message == "The access token is of nobody here"


class Deactivated:
    def is_active(self) -> bool:
        return False


class Unreadable:
    @property
    def is_active(self) -> bool:
        raise OSError("no database")


def yields(token: AccessToken) -> Any:
    yield USERS["ada"]


class Asynchronous:
    async def is_active(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("find_user", "status"),
    [
        (find, 401),
        (find_async, 401),
        (lambda token: find_async(token), 401),
        (lambda token: False, 401),
        (lambda token: "", 401),
        (lambda token: Deactivated(), 401),
        (lambda token: Asynchronous(), 503),
        (lambda token: Unreadable(), 503),
        (yields, 503),
        (broken, 503),
    ],
)
def test_a_refusal_has_the_status_of_its_kind(find_user: Any, status: int) -> None:
    answer = TestClient(build(find_user), base_url="http://localhost").post(
        "/mcp", json={}, headers={"authorization": "Bearer gone"}
    )
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) is (status == 401)


@pytest.mark.parametrize("host", [alone, lambda server: mount_wsgi(nothing, "/mcp", server)])
def test_a_plain_function_may_pass_on_a_coroutine(host: Callable[[MCPServer], Any]) -> None:
    server = MCPServer(
        "shop", auth=TokenVerifier(AccessToken), find_user=lambda token: find_async(token)
    )

    @server.tool
    def greet() -> str:
        return "hello"

    with Client(host(server), token="ada") as client:
        assert client.call_tool("greet").text == "hello"
    with Client(host(server), token="nobody") as client, pytest.raises(RPCError, match="nobody"):
        client.call_tool("greet")


def test_users_who_cannot_be_looked_up_are_told_to_come_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Client(build(broken), token="ada") as client, pytest.raises(RPCError) as caught:
        client.call_tool("whoami")
    assert "could not be found" in caught.value.message
    assert "no database" in caplog.text


def test_an_api_key_has_a_user_too() -> None:
    server = MCPServer("shop", auth=APIKeys({"ada": "k" * 32}), find_user=find)

    @server.tool
    def whoami(request: Request) -> str:
        return str(request.user.name)

    with Client(server, headers={"X-API-Key": "k" * 32}) as client:
        assert client.call_tool("whoami").text == "Ada"


def test_plain_http_has_the_same_user() -> None:
    answer = TestClient(build(find), base_url="http://localhost").post(
        "/tools/whoami", json={}, headers={"authorization": "Bearer ada"}
    )
    assert answer.json() == "Ada"


def test_a_user_of_the_applications_middleware_is_replaced() -> None:
    class Anybody:
        async def authenticate(self, connection: Any) -> None:
            return None

    backend: Any = Anybody()
    app = Starlette(middleware=[Middleware(AuthenticationMiddleware, backend=backend)])
    mount(app, "/mcp", build(find))
    with Client(app, token="ada") as client:
        assert client.call_tool("whoami").text == "Ada"


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(DefinitionError, match="find_user is a function of the access token"):
        build("ada")


@pytest.mark.parametrize("host", HOSTS)
def test_a_client_for_tests_comes_with_a_token_that_nobody_has_issued(
    host: Callable[[MCPServer], Any],
) -> None:
    def never(token: str) -> AccessToken:
        raise AssertionError("there is no issuer here")

    server = MCPServer("shop", auth=TokenVerifier(never), open=True)

    @server.tool(scopes="orders:write")
    async def cancel(ctx: Context) -> str:
        return f"by {ctx.caller}"

    token = AccessToken("ada", scopes=frozenset({"orders:write"}))
    app = host(server)
    with Client(app, token=token) as client:
        assert client.call_tool("cancel").text == "by ada"
    with Client(app, token=AccessToken("bob")) as client:
        assert client.list_tools() == []

    async def run() -> str:
        async with AsyncClient(app, token=token) as client:
            return (await client.call_tool("cancel")).text

    assert asyncio.run(run()) == "by ada"


def test_a_flask_application_lets_the_token_of_a_test_in_too() -> None:
    app = Flask("shop")
    mcp = MCPMount(app, "/mcp", auth=TokenVerifier(AccessToken), open=True)

    @mcp.tool(scopes="orders:write")
    def cancel(ctx: SyncContext) -> str:
        return f"by {ctx.caller}"

    token = AccessToken("ada", scopes=frozenset({"orders:write"}))
    with Client(app, token=token) as client:
        assert client.call_tool("cancel").text == "by ada"

    async def run() -> str:
        async with AsyncClient(app, token=token) as client:
            return (await client.call_tool("cancel")).text

    assert asyncio.run(run()) == "by ada"
