"""Direct chats in Django: the same answers as the long way, and no way around what Django has."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.mcp_mount_django.clients import session_headers
from tests.mcp_mount_django.test_direct import KINDS, MIDDLEWARE, over_asgi
from tests.routes.test_direct_chats import (
    DIRECT,
    MODELS,
    PATH,
    RAISED,
    RETURNED,
    Answer,
    Ask,
    Runs,
    alike,
    chat,
    counted,
    fill,
    over_wsgi,
)

pytestmark = pytest.mark.usefixtures("project", "own_servers")


def host_of(kind: str, runs: Runs, **options: Any) -> Ask:
    """A server in a project, or beside it."""
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer, mount

    server = fill(MCPServer("chats", secret_key="for-tests-only", open=True, **options), runs)
    urls = ModuleType("urls")
    urls.urlpatterns = [path("mcp", include(server.urls))]  # type: ignore[attr-defined]

    def settled() -> Any:
        return override_settings(MIDDLEWARE=MIDDLEWARE, DATABASE_ROUTERS=[], ROOT_URLCONF=urls)

    with settled():
        application: Any = get_wsgi_application()
        if kind == "asgi":
            application = over_asgi(get_asgi_application())
        if kind == "beside":
            application = mount(application, "/mcp", server)

    def serve(environ: Any, start_response: Any) -> list[bytes]:
        with settled():
            answer = application(environ, start_response)
            whole = list(answer)
            if hasattr(answer, "close"):
                answer.close()
        return whole

    return over_wsgi(serve, "/mcp" + PATH)


@pytest.fixture(autouse=True)
def without_transactions(project: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connections

    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", False)


def _answered(kind: str, found: int, model: str) -> None:
    assert (found > 0) is (model in DIRECT), kind


@pytest.mark.parametrize("kind", KINDS)
def test_chats_are_answered_alike(kind: str) -> None:
    runs: Runs = Runs()
    ask = host_of(kind, runs)
    ask(chat("quick"))
    for model in MODELS:
        for word in ("hello", *RETURNED, *RAISED):
            _, direct = alike(ask, runs, chat(model, word))
            _answered(kind, direct, model or "quick")


@pytest.mark.parametrize("kind", KINDS)
def test_odd_requests_are_answered_alike(kind: str) -> None:
    runs: Runs = Runs()
    ask = host_of(kind, runs)
    ask(chat("quick"))
    for headers in (
        {"origin": "http://evil.example"},
        {"content_type": "text/plain"},
        {"host": "evil.example"},
        {"cookie": "sessionid=unknown"},
    ):
        for model in ("quick", "plain"):
            alike(ask, runs, chat(model), **headers)
    for body in (b"", b"{", chat("plain", n=200), chat("plain", stream=True)):
        assert alike(ask, runs, body)[1] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_who_must_log_in_is_refused(kind: str) -> None:
    ask = host_of("wsgi" if kind == "beside" else kind, Runs(), login_required=True)
    answers: list[Answer] = [ask(chat("plain")) for _ in range(3)]
    assert [one[0] for one in answers] == [401, 401, 401]


@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_runs_in_a_transaction_where_the_project_has_them(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connections

    ask = host_of(kind, Runs())
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    ran: list[Any] = []
    from mcp_mount.routes.openai.direct import DirectChats

    own = DirectChats.run

    def run(self: DirectChats, one: Any) -> Any:
        ran.append(one)
        return own(self, one)

    monkeypatch.setattr(DirectChats, "run", run)
    with counted():
        assert [ask(chat("plain"))[0] for _ in range(2)] == [200, 200]
    assert ran == []


@pytest.mark.parametrize("is_async", [False, True])
def test_refusals_of_the_host_have_the_form_of_the_clients(is_async: bool, ada: Any) -> None:
    import asyncio

    from django.test import AsyncClient, Client, override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer

    server = fill(MCPServer("refusing", secret_key="for-tests-only", open=True), Runs())

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    def post(size: int, cookies: str) -> tuple[int, Any]:
        body = {"messages": [{"role": "user", "content": "x" * size}]}
        url, kind = "/mcp/v1/chat/completions", "application/json"
        browser: Any = (AsyncClient if is_async else Client)(enforce_csrf_checks=True)
        browser.cookies.load(cookies)
        answer = browser.post(url, body, content_type=kind)
        if is_async:
            answer = asyncio.run(answer)
        return answer.status_code, answer.json()["error"]

    cookie = session_headers(ada, csrf=False)["cookie"]
    with override_settings(
        ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"], DATA_UPLOAD_MAX_MEMORY_SIZE=1000
    ):
        assert post(1000, "") == (
            413,
            {
                "message": "The body exceeds 1000 bytes (DATA_UPLOAD_MAX_MEMORY_SIZE)",
                "type": "invalid_request_error",
                "param": None,
                "code": "request_too_large",
            },
        )
        if is_async:
            # Another thread has no part in the transaction of the test, so it finds no session.
            return
        status, error = post(10, cookie)
    assert (status, error["type"], error["code"]) == (403, "permission_error", "access_denied")
    assert error["message"].startswith("CSRF: ")
