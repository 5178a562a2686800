"""Who calls, and what they may: sessions, tokens, permissions, CSRF."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount.testing import HTTPError, RPCError
from tests.mcp_mount_django.clients import client, client_of, session_headers, token_headers

pytestmark = pytest.mark.usefixtures("database")
REVISIONS = ["2026-07-28", "2025-11-25"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_user_of_a_session_is_the_caller(ada: Any, bob: Any, revision: str) -> None:
    for member in (ada, bob):
        with client_of(member, revision=revision) as own:
            assert own.call_tool("whoami").text == member.email
            assert own.call_tool("whoami_async").text == member.email


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_user_of_a_token_is_the_caller(ada: Any, revision: str) -> None:
    with client("/token/mcp", token_headers(ada), revision=revision) as own:
        assert own.call_tool("whoami").text == "ada@example.org"
        assert own.call_tool("whoami_async").text == "ada@example.org"


def test_an_anonymous_caller_sees_what_is_for_everybody() -> None:
    with client() as nobody:
        names = [tool["name"] for tool in nobody.list_tools()]
        assert names == [
            "public",
            "manners",
            "manners_aloud",
            "manners_async",
            "manners_async_aloud",
        ]
        with pytest.raises(RPCError, match="Unknown tool: balance"):
            nobody.call_tool("balance")


def test_a_permission_of_django_opens_a_tool(ada: Any, bob: Any) -> None:
    from django.contrib.auth.models import Permission

    ada.user_permissions.add(Permission.objects.get(codename="delete_entry"))
    with client_of(ada) as own:
        assert "delete_all" in [tool["name"] for tool in own.list_tools()]
        assert own.call_tool("delete_all").data == 0
    with client_of(bob) as own, pytest.raises(RPCError, match="Unknown tool"):
        own.call_tool("delete_all")


def refused(path: str, headers: dict[str, str] | None = None) -> tuple[int, Any, str]:
    """Status, challenge and message of a refusal."""
    from django.test import Client as Browser

    from tests.requests import stateless

    own, body = stateless("tools/list")
    given = {key: value for key, value in (own | (headers or {})).items() if key != "content-type"}
    response = Browser(enforce_csrf_checks=True).post(
        path, body, content_type="application/json", headers=given
    )
    message = response.json().get("error", {}).get("message", "")
    return response.status_code, response.headers.get("www-authenticate"), message


def test_a_server_for_some_refuses_others(ada: Any) -> None:
    assert refused("/staff/mcp") == (401, "Bearer", "Authentication required")
    assert refused("/staff/mcp", session_headers(ada)) == (403, None, "Permission denied")
    ada.is_staff = True
    ada.save()
    with client("/staff/mcp", session_headers(ada)) as own:
        assert own.call_tool("members").data == ["ada@example.org"]


def test_a_server_with_login_refuses_who_has_none(ada: Any) -> None:
    assert refused("/token/mcp") == (401, "Token", "Authentication required")
    assert refused("/token/mcp", {"authorization": "Token wrong"}) == (
        401,
        "Token",
        "Invalid token.",
    )


@pytest.mark.parametrize("path", ["/mcp", "/token/mcp"])
def test_a_session_cookie_needs_its_csrf_token(ada: Any, path: str) -> None:
    status, _, message = refused(path, session_headers(ada, csrf=False))
    assert (status, message.partition(":")[0]) == (403, "CSRF")
    wrong = {**session_headers(ada), "x-csrftoken": "b" * 32}
    assert refused(path, wrong)[0] == 403
    assert refused(path, session_headers(ada))[0] == 200


def test_where_no_authenticator_answers_the_user_of_the_middleware_stays(
    ada: Any, bob: Any
) -> None:
    with client("/token/mcp", session_headers(ada)) as own:
        assert own.call_tool("whoami").text == "ada@example.org"
        assert own.call_tool("whoami_async").text == "ada@example.org"
    with client("/token/mcp", {**session_headers(ada), **token_headers(bob)}) as own:
        assert own.call_tool("whoami").text == "bob@example.org"


def test_the_user_of_a_test_is_the_caller_where_the_server_authenticates(ada: Any) -> None:
    with client_of(ada, path="/token/mcp") as own:
        assert own.call_tool("whoami").text == "ada@example.org"


def test_an_anonymous_caller_is_let_in_only_with_a_session_or_a_token(ada: Any) -> None:
    assert refused("/token/mcp")[0] == 401
    assert refused("/token/mcp", {"cookie": "sessionid=made-up"})[0] == 401


def test_without_a_login_there_is_nothing_to_abuse() -> None:
    assert refused("/mcp")[0] == 200


class TeamToken:
    """Credentials that stand for no user."""

    pk = 3


def test_a_principal_without_a_user_is_one(own_servers: None) -> None:
    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest

    from mcp_mount.protocol import ProtocolError
    from mcp_mount_django.authentication import Authentication

    class TeamAuthentication:
        """An authentication class of the kind that pretix has."""

        def authenticate(self, request: Any) -> Any:
            if "Authorization" not in request.headers:
                return None
            return AnonymousUser(), TeamToken()

        def authenticate_header(self, request: Any) -> str:
            return "Token"

    def function(request: Any) -> Any:
        return TeamAuthentication().authenticate(request)

    def opaque(request: Any) -> Any:
        found = function(request)
        return found and (None, object())

    callers = []
    for authenticator in (TeamAuthentication, function, opaque):
        authentication = Authentication([authenticator], login_required=True)
        with pytest.raises(ProtocolError):
            authentication.admit(HttpRequest())
        request = HttpRequest()
        request.META["HTTP_AUTHORIZATION"] = "Token x"
        callers.append(authentication.admit(request))
        assert request.user.is_anonymous
        assert request.auth is not None
    assert callers[:2] == ["TeamToken:3", "TeamToken:3"]
    assert str(callers[2]).startswith("credentials:")


def test_a_question_is_answered_by_the_one_it_was_put_to(ada: Any) -> None:
    """An inactive user is nobody, in the next request."""
    headers = session_headers(ada)
    with client(headers=headers) as own:
        assert own.call_tool("whoami").text == "ada@example.org"
    ada.is_active = False
    ada.save()
    with client(headers=headers) as own, pytest.raises(RPCError, match="Unknown tool"):
        own.call_tool("whoami")


def test_a_host_that_django_does_not_allow_is_refused() -> None:
    with client(headers={"host": "evil.example"}) as own, pytest.raises(HTTPError) as caught:
        own.list_tools()
    assert caught.value.status == 400


def test_a_page_behind_a_proxy_may_call_its_own_host(ada: Any) -> None:
    from django.test import override_settings

    headers = {
        "origin": "https://ledger.example",
        "host": "127.0.0.1:8000",
        "x-forwarded-host": "ledger.example",
    }
    assert refused("/mcp", headers)[0] == 403
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert refused("/mcp", headers)[0] == 200


def test_rotated_keys_open_sessions() -> None:
    from django.test import override_settings

    from mcp_mount_django import MCPServer
    from tests.requests import Session, message

    old = Session(MCPServer("rotation"), "2025-11-25")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["for-tests-only"]):
        old._server = MCPServer("rotation")
        assert old.send(message("ping")).status == 200
    with override_settings(SECRET_KEY="new"):
        old._server = MCPServer("rotation")
        assert old.send(message("ping")).status == 404


def test_login_required_everywhere_holds_here_too() -> None:
    from django.test import override_settings

    from mcp_mount_django.authentication import Authentication

    everywhere = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    with override_settings(MIDDLEWARE=[everywhere]):
        assert Authentication((), login_required=False).login_required
    assert not Authentication((), login_required=False).login_required


def test_a_function_finds_the_user_of_a_bearer_token(ada: Any) -> None:
    from django.http import HttpRequest

    from mcp_mount.protocol import ProtocolError
    from mcp_mount_django import bearer_token
    from mcp_mount_django.authentication import Authentication

    find = bearer_token(lambda token: ada if token == "good" else None)
    authentication = Authentication([find], login_required=False)

    def admit(authorization: str | None) -> str | None:
        request = HttpRequest()
        if authorization is not None:
            request.META["HTTP_AUTHORIZATION"] = authorization
        return authentication.admit(request)

    assert admit("Bearer good") == str(ada.pk)
    assert admit(None) is None
    assert admit("Basic x") is None
    with pytest.raises(ProtocolError, match="not valid"):
        admit("Bearer bad")


def test_groups_and_permissions_are_asked_once_for_a_list(own_servers: None, ada: Any) -> None:
    from django.contrib.auth.models import Group, Permission
    from django.db import connection
    from django.test import override_settings
    from django.test.utils import CaptureQueriesContext
    from django.urls import include, path

    from mcp_mount_django import MCPServer

    many = MCPServer("many")

    class Urls:
        urlpatterns = (path("many", include(many.urls)),)

    for number in range(200):
        role = "clerks" if number % 2 else "cooks"
        many.tool(name=f"of_{role}_{number}", roles=["nobody", role])(lambda: None)
        many.tool(name=f"view_{number}", permission="ledger.view_entry")(lambda: None)
    ada.groups.add(Group.objects.create(name="clerks"))
    ada.user_permissions.add(Permission.objects.get(codename="view_entry"))
    with (
        override_settings(ROOT_URLCONF=Urls),
        client_of(ada, path="/many") as own,
        CaptureQueriesContext(connection) as queries,
    ):
        assert len(own.list_tools()) == 300
    tables = [one["sql"] for one in queries if "auth_group" in one["sql"]]
    assert len(queries) < 10, tables
