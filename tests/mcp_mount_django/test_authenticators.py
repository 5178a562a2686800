"""What authenticators and `find_user=` raise and return: an answer in every case, never a 500."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.http import HttpRequest

from mcp_mount import DefinitionError, SyncContext
from mcp_mount.auth import AccessToken, TokenVerifier
from tests.requests import stateless

pytestmark = pytest.mark.usefixtures("database", "own_servers")


def raising(error: Callable[[], Exception]) -> Callable[..., Any]:
    def find(what: Any) -> Any:
        raise error()

    return find


def returning(value: Any) -> Callable[..., Any]:
    return lambda what: value


def no_row() -> Exception:
    from tests.mcp_mount_django.ledger.models import Member

    return Member.DoesNotExist("Member matching query does not exist.")


def denied() -> Exception:
    from django.core.exceptions import PermissionDenied

    return PermissionDenied("not you")


def wrong() -> Exception:
    from rest_framework.exceptions import AuthenticationFailed

    return AuthenticationFailed("The token has expired")


class User:
    """A user of no model."""

    is_active = True

    def __init__(self, name: str, *, is_authenticated: bool = True) -> None:
        self._name = name
        self.is_authenticated = is_authenticated
        self.is_anonymous = not is_authenticated

    def get_username(self) -> str:
        return self._name


def server_of(how: str, find: Callable[..., Any]) -> Any:
    from mcp_mount_django import MCPServer, bearer_token

    if how == "find_user":
        auth = TokenVerifier(AccessToken)
        own = {"auth": auth, "find_user": find, "resource": "https://testserver/own"}
    else:
        own = {"authentication": [bearer_token(find) if how == "bearer_token" else find]}
    one = MCPServer("own", open=True, **own)

    @one.tool
    def caller(ctx: SyncContext) -> str:
        return str(ctx.caller)

    return one


def ask(server: Any, *, asgi: bool = False, tool: str | None = None) -> Any:
    from django.test import AsyncClient, Client, override_settings
    from django.urls import include, path

    class Urls:
        urlpatterns = (path("own", include(server.urls)),)

    body: Any = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
    headers = {"authorization": "Bearer ada", "accept": "application/json, text/event-stream"}
    if tool is not None:
        own, sent = stateless("tools/call", {"name": tool, "arguments": {}})
        headers, body = {**headers, **own}, json.loads(sent)
        del headers["content-type"]  # `content_type` says it.
    post = {"data": json.dumps(body), "content_type": "application/json", "headers": headers}
    with override_settings(ROOT_URLCONF=Urls):
        if asgi:
            return asyncio.run(AsyncClient().post("/own", **post))  # type: ignore[arg-type]
        return Client().post("/own", **post)  # type: ignore[arg-type]


class Deactivated(User):
    def is_active(self) -> bool:  # type: ignore[override]
        return False


class AsksLater(User):
    async def is_active(self) -> bool:  # type: ignore[override]
        return False


class Unreadable(User):
    @property
    def is_active(self) -> bool:  # type: ignore[override]
        raise OSError("no database")


class NobodyKnown(User):
    is_active = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.is_anonymous = lambda: False  # type: ignore[assignment]


@pytest.mark.parametrize("how", ["find_user", "bearer_token", "function"])
@pytest.mark.parametrize(
    ("user", "status"),
    [(Deactivated, 401), (NobodyKnown, 401), (AsksLater, 503), (Unreadable, 503)],
)
def test_nobody_is_let_in_who_is_not_active_or_does_not_say(
    how: str, user: type[User], status: int
) -> None:
    assert ask(server_of(how, lambda what: user("ada"))).status_code == status


async def find_async(token: AccessToken) -> Any:
    await asyncio.sleep(0)
    return {"ada": User("ada")}.get(token.subject)


def yields(token: AccessToken) -> Any:
    yield User("ada")


@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.parametrize(
    ("find", "status"),
    [
        # They are let in, and then told that their ping has no `_meta`.
        (find_async, 400),
        (lambda token: find_async(token), 400),
        (lambda token: find_async(AccessToken("nobody")), 401),
        (returning(None), 401),
        (returning(False), 401),
        (returning(""), 401),
        (yields, 503),
        (raising(SystemExit), 503),  # type: ignore[arg-type]
    ],
)
def test_find_user_is_asked_as_on_other_hosts(
    find: Callable[..., Any], status: int, asgi: bool
) -> None:
    assert ask(server_of("find_user", find), asgi=asgi).status_code == status


@pytest.mark.parametrize("how", ["find_user", "function"])
def test_an_exception_that_may_be_a_fault_is_logged(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = raising(partial(json.JSONDecodeError, "Expecting value", "", 0))
    assert ask(server_of(how, broken)).status_code == 401
    [record] = [one for one in caplog.records if one.name == "mcp_mount"]
    assert record.levelno == logging.WARNING
    assert "JSONDecodeError" in str(record.exc_info)


@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.parametrize("how", ["find_user", "bearer_token", "function"])
@pytest.mark.parametrize(
    ("find", "status"),
    [
        (raising(no_row), 401),
        (raising(partial(ValueError, "Field 'id' expected a number")), 401),
        (raising(partial(OSError, "no database")), 503),
        (lambda: None, 503),
        (raising(SystemExit), 503),  # type: ignore[arg-type]
    ],
)
def test_what_a_function_raises_has_a_status(
    how: str, find: Callable[..., Any], status: int, asgi: bool
) -> None:
    answer = ask(server_of(how, find), asgi=asgi)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert set(json.loads(answer.content)) == {"jsonrpc", "id", "error"}


@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.parametrize(("user", "is_in"), [(User("ada"), True), (None, False)])
def test_a_plain_function_may_pass_on_a_coroutine(
    user: User | None, is_in: bool, asgi: bool
) -> None:
    async def find(token: AccessToken) -> User | None:
        return user

    answer = ask(server_of("find_user", lambda token: find(token)), asgi=asgi)
    assert (answer.status_code != 401) is is_in


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(denied, 403, "Permission denied"), (wrong, 401, "The token has expired")],
)
def test_the_exceptions_of_django_and_rest_framework_refuse(
    error: Callable[[], Exception], status: int, words: str
) -> None:
    answer = ask(server_of("function", raising(error)))
    assert (answer.status_code, json.loads(answer.content)["error"]["message"]) == (status, words)


@pytest.mark.parametrize(("how", "status"), [("find_user", 503), ("function", 401)])
@pytest.mark.parametrize("value", ["ada", True, {"id": 1}, object()])
def test_what_is_no_user_lets_nobody_in(
    how: str, status: int, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(server_of(how, returning(value))).status_code == status
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR and "mcp" in one.name]
    text = record.getMessage() + str(record.exc_info)
    assert f"returned {type(value).__name__}, which is not a user" in text


@pytest.mark.parametrize("kind", ["class", "pair"])
def test_what_an_authentication_class_returns_is_a_user_too(kind: str) -> None:
    class Odd:
        def authenticate(self, request: Any) -> Any:
            return "ada", None

        def authenticate_header(self, request: Any) -> str:
            return "Token"

    assert (
        ask(server_of("function", Odd if kind == "class" else returning(("ada", 1)))).status_code
        == 401
    )


@pytest.mark.parametrize(
    ("user", "caller"),
    [
        (User("ada"), "name:ada"),
        # A token of a team, say: its subject tells it from others.
        (User("", is_authenticated=False), "team"),
        (User(""), "team"),
    ],
)
def test_a_token_whose_user_has_no_key_is_a_caller_of_its_own(user: User, caller: str) -> None:
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django.testing import Client

    server = server_of("find_user", returning(user))

    class Urls:
        urlpatterns = (path("own", include(server.urls)),)

    with override_settings(ROOT_URLCONF=Urls), Client(path="/own", token="team") as client:
        assert client.call_tool("caller").text == caller


def test_find_user_may_be_configured_and_lifted(project: None) -> None:
    def name_of_user(given: Any, **change: Any) -> list[str]:
        one = server_of("find_user", given)
        one.configure(**change)

        @one.tool
        def who(request: HttpRequest) -> str:
            return f"{request.user.get_username() or 'nobody'}"

        answer = [ask(one, tool=tool) for tool in ("who", "caller")]
        return [one.json()["result"]["content"][0]["text"] for one in answer]

    def joe(token: AccessToken) -> User:
        return User("joe")

    of_joe, of_nobody = ["joe", "name:joe"], ["nobody", "ada"]
    assert name_of_user(joe) == of_joe
    assert name_of_user(None, find_user=joe) == of_joe
    assert name_of_user(lambda token: None, find_user=joe) == of_joe
    assert name_of_user(joe, find_user=None) == of_nobody
    assert name_of_user(joe, timeout=5) == of_joe


def test_a_refused_change_leaves_find_user_as_it_was(project: None) -> None:
    def joe(token: AccessToken) -> User:
        return User("joe")

    one = server_of("find_user", joe)
    for wrong in ({"find_user": 5}, {"find_user": None, "timeout": "x"}):
        with pytest.raises(DefinitionError):
            one.configure(name="new", **wrong)
        assert (one.authentication.find_user, one.title) == (joe, "own")


def test_find_user_is_a_function(project: None) -> None:
    from mcp_mount_django import MCPServer

    with pytest.raises(DefinitionError, match="find_user is a function of the access token"):
        MCPServer("own", find_user="ada")  # type: ignore[arg-type]
