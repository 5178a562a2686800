"""Direct calls in Django: the same answers, threads, signals and checks as the long way."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_mount import ToolError
from tests.transports.plain_shop import (
    CALLS,
    DIRECT,
    Application,
    Environ,
    Twins,
    answer_of,
    changed,
    changes,
    edits,
    request,
    send,
    spoilt,
)
from tests.transports.test_direct import edited

pytestmark = pytest.mark.usefixtures("project", "own_servers")

EXAMPLES = int(os.environ.get("DIRECT_EXAMPLES", "40"))
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
KINDS = ["wsgi", "asgi", "beside"]


def add_tools(server: Any, seen: list[Any]) -> None:
    """Tools that look at what Django has around them."""
    from django.core.exceptions import PermissionDenied, ValidationError
    from django.db import connection, transaction
    from django.http import Http404, HttpResponse, JsonResponse
    from django.urls import get_script_prefix, get_urlconf
    from django.utils import timezone, translation

    from tests.mcp_mount_django.ledger.models import Category

    def around() -> list[Any]:
        return [
            *(translation.get_language(), timezone.get_current_timezone_name()),
            *(connection.in_atomic_block, get_script_prefix(), get_urlconf() is None),
        ]

    @server.tool
    def where() -> Any:
        return around()

    @server.tool
    async def where_async() -> Any:
        return [translation.get_language(), await asyncio.sleep(0, "slept")]

    @server.tool
    def queries() -> int:
        return Category.objects.count()

    @server.tool
    async def queries_async() -> int:
        return await Category.objects.acount()

    @server.tool
    def rolls_back() -> bool:
        with transaction.atomic():
            Category.objects.create(name="never")
            transaction.set_rollback(True)
        return Category.objects.filter(name="never").exists()

    @server.tool
    def refuses(kind: str) -> str:
        seen.append(kind)
        raise {
            "denied": PermissionDenied("no"),
            "missing": Http404("gone"),
            "invalid": ValidationError("wrong"),
            "doubled": ToolError("no"),
        }[kind]

    @server.tool
    def responds(status: int) -> Any:
        return HttpResponse(b"text", status=status)

    @server.tool
    def json_response() -> Any:
        return JsonResponse({"a": 1})

    @server.tool
    def marks() -> str:
        translation.activate("de")
        return "marked"


LOOKS: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {})
        for name in (
            *("where", "where_async", "queries", "queries_async", "rolls_back"),
            *("json_response", "marks"),
        )
    ),
    *(("refuses", {"kind": kind}) for kind in ("denied", "missing", "invalid", "doubled")),
    *(("responds", {"status": status}) for status in (200, 302, 404)),
]
TOOLS = (DIRECT | {name for name, _ in LOOKS}) - {"where_async", "queries_async"}


def over_asgi(application: Any) -> Application:
    """An ASGI application as a WSGI application, for one request at a time."""

    def serve(environ: Environ, start_response: Any) -> list[bytes]:
        names = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}
        headers = [
            (names.get(key, key[5:].replace("_", "-").lower()).encode(), value.encode("latin-1"))
            for key, value in environ.items()
            if key.startswith("HTTP_") or key in names
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": environ["REQUEST_METHOD"],
            "scheme": "http",
            "path": environ["PATH_INFO"],
            "raw_path": environ["PATH_INFO"].encode(),
            "query_string": b"",
            "root_path": environ["SCRIPT_NAME"],
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": (environ.get("SERVER_NAME", "127.0.0.1"), 8000),
        }
        body = environ["wsgi.input"].read()
        sent: list[Any] = []
        asked: list[None] = []

        async def receive() -> Any:
            if asked:
                await asyncio.sleep(3600)
            asked.append(None)
            return {"type": "http.request", "body": body, "more_body": False}

        async def note(one: Any) -> None:
            sent.append(one)

        asyncio.run(application(scope, receive, note))
        start, *rest = sent
        given = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        start_response(str(start["status"]), given)
        return [one.get("body", b"") for one in rest]

    return serve


class DjangoTwins(Twins):
    """Two servers in a project, one of which answers direct calls.

    Args:
        kind: "wsgi", "asgi", or "beside" the project.
        options: Settings that are different.
    """

    def __init__(self, kind: str, **options: Any) -> None:
        from django.core.asgi import get_asgi_application
        from django.core.signals import request_finished, request_started
        from django.core.wsgi import get_wsgi_application
        from django.test import override_settings
        from django.urls import include, path
        from django.utils import translation

        from mcp_mount_django import MCPServer, mount

        self.seen: list[Any] = []
        self.settings = {"MIDDLEWARE": MIDDLEWARE, "DATABASE_ROUTERS": [], **options}
        own = self.settings.pop("server", {})

        def make(*args: Any, **more: Any) -> Any:
            return MCPServer(*args, **more, **own)

        def host(server: Any) -> Application:
            add_tools(server, self.seen)
            urls = ModuleType("urls")
            urls.urlpatterns = [path("mcp", include(server.urls))]  # type: ignore[attr-defined]

            def settled() -> Any:
                return override_settings(**self.settings, ROOT_URLCONF=urls)

            with settled():
                if kind == "asgi":
                    application = over_asgi(get_asgi_application())
                else:
                    application = get_wsgi_application()
                if kind == "beside":
                    application = mount(application, "/mcp", server)

            def serve(environ: Environ, start_response: Any) -> list[bytes]:
                signals: list[str] = []

                def started(**more: Any) -> None:
                    signals.append("started")

                def finished(**more: Any) -> None:
                    signals.append("finished")

                request_started.connect(started)
                request_finished.connect(finished)
                try:
                    with settled():
                        answer = application(environ, start_response)
                        whole = list(answer)
                        if hasattr(answer, "close"):
                            answer.close()
                finally:
                    request_started.disconnect(started)
                    request_finished.disconnect(finished)
                    # As `marks` may have left it.
                    translation.deactivate()
                self.seen.append(signals)
                return whole

            return serve

        super().__init__(host, make)

    def both(self, environ: Environ, body: bytes) -> Any:
        self.seen.clear()
        answer = super().both(environ, body)
        half = len(self.seen) // 2
        assert self.seen[:half] == self.seen[half:]
        return answer


@pytest.fixture(scope="module")
def known(project: None) -> dict[str, DjangoTwins]:
    from django.db import connections

    from mcp_mount_django.servers import servers

    before = set(servers)
    with pytest.MonkeyPatch.context() as patch:
        for alias in connections:
            patch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", False)
        made = {kind: DjangoTwins(kind) for kind in KINDS}
    # They are no servers of the project, which it checks.
    for one in set(servers) - before:
        servers.discard(one)
    return made


@pytest.fixture(autouse=True)
def without_transactions(project: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connections

    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", False)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The plain functions that are run as direct calls."""
    from mcp_mount_django.direct_calls import DjangoDirectCalls

    answered: list[Any] = []
    own = DjangoDirectCalls.run

    def run(self: DjangoDirectCalls, call: Any) -> Any:
        answered.append(call)
        return own(self, call)

    monkeypatch.setattr(DjangoDirectCalls, "run", run)
    return answered


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tool", "arguments"), [*CALLS, *LOOKS])
def test_right_requests_are_answered_alike(
    known: dict[str, DjangoTwins],
    counted: list[Any],
    kind: str,
    tool: str,
    arguments: dict[str, Any],
) -> None:
    environ, body = request(tool, arguments)
    known[kind].both(environ, json.dumps(body).encode())
    fits = tool in TOOLS and (tool != "echo" or arguments == {"text": "hé"})
    assert len(counted) == (1 if fits else 0)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    tool=st.sampled_from([*CALLS, *LOOKS]),
    given_changes=changes,
    given_edits=edits,
    given_spoilt=spoilt,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "OPTIONS"]),
    path=st.sampled_from(["/mcp", "/mcp", "/mcp", "/mcp/", "/mcp/x"]),
)
def test_odd_requests_are_answered_alike(
    known: dict[str, DjangoTwins],
    kind: str,
    tool: tuple[str, dict[str, Any]],
    given_changes: list[tuple[str, Any]],
    given_edits: list[Any],
    given_spoilt: tuple[bytes, bytes],
    method: str,
    path: str,
) -> None:
    environ, body = request(*tool, path)
    content = json.dumps(edited(body, given_edits)).encode().replace(*given_spoilt, 1)
    known[kind].both(changed(environ, given_changes, method), content)


def ask(twins: DjangoTwins, tool: str = "where", **changes: str) -> Any:
    """The answer to a call, with other keys in its environment."""
    environ, body = request(tool, {})
    return twins.both({**environ, **changes}, json.dumps(body).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_request_signals_are_sent_once(known: dict[str, DjangoTwins], kind: str) -> None:
    ask(known[kind])
    assert known[kind].seen[0] == ["started", "finished"]


@pytest.mark.parametrize("kind", KINDS)
def test_calls_that_are_transactions_or_told_of_go_the_long_way(
    known: dict[str, DjangoTwins],
    counted: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    from django.db import connections

    from mcp_mount_django.signals import call_finished

    told: list[Any] = []

    def note(**more: Any) -> None:
        told.append(more["outcome"])

    call_finished.connect(note)
    try:
        ask(known[kind])
    finally:
        call_finished.disconnect(note)
    assert told == ["ok", "ok"]
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    assert b"true" in ask(known[kind])[2]
    assert counted == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_a_proxy_names_goes_the_long_way(kind: str, counted: list[Any]) -> None:
    twins = DjangoTwins(kind, USE_X_FORWARDED_HOST=True)
    assert ask(twins, HTTP_X_FORWARDED_HOST="localhost")[0].startswith("200")
    assert ask(twins, HTTP_X_FORWARDED_HOST="evil.example")[0].startswith("400")
    assert counted == []
    assert ask(twins)[0].startswith("200")
    assert len(counted) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_over_either_limit_is_refused(kind: str, counted: list[Any]) -> None:
    environ, body = request("echo", {"text": "a" * 2000})
    content = json.dumps(body).encode()
    twins = DjangoTwins(kind, DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
    assert twins.both(environ, content)[0].startswith("413")
    twins = DjangoTwins(kind, server={"max_body_bytes": 1000})
    assert twins.both(environ, content)[0].startswith("413")
    assert counted == []


@pytest.mark.parametrize("csrf", [True, False], ids=["with a token", "without a token"])
def test_a_session_cookie_needs_its_csrf_token(
    known: dict[str, DjangoTwins], counted: list[Any], csrf: bool
) -> None:
    from tests.mcp_mount_django.clients import session_headers
    from tests.mcp_mount_django.ledger.models import Member

    # Committed: Django closes a connection in a transaction at the end of each request.
    member = Member.objects.create_user("direct@example.org", "secret")
    try:
        given = session_headers(member, csrf=csrf)
        names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in given.items()}
        assert ask(known["wsgi"], **names)[0].startswith("200" if csrf else "403")
    finally:
        member.delete()
    assert len(counted) == csrf


@pytest.mark.parametrize("kind", KINDS)
def test_authenticators_are_asked_once(kind: str, counted: list[Any]) -> None:
    asked: list[str] = []

    def known_by(request: Any) -> Any:
        from django.contrib.auth import get_user_model

        from mcp_mount_django import AuthenticationFailed

        asked.append(kind)
        name = request.META.get("HTTP_AUTHORIZATION")
        if name == "wrong":
            raise AuthenticationFailed("No such key")
        return None if name is None else get_user_model()(pk=1)

    twins = DjangoTwins(kind, server={"authentication": [known_by], "login_required": True})
    # The first request that is let in goes the long way.
    ask(twins, HTTP_AUTHORIZATION="key")
    asked.clear()
    for name, status in (("key", "200"), ("wrong", "401")):
        assert ask(twins, HTTP_AUTHORIZATION=name)[0].startswith(status)
    assert ask(twins)[0].startswith("401")
    assert len(asked) == 6
    assert len(counted) == (0 if kind == "asgi" else 1)


class Gone:
    """The input of a client that has left."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("gone")

    readline = read


@pytest.mark.parametrize("kind", ["wsgi", "beside"])
@pytest.mark.parametrize("lost", ["short", "gone"])
def test_a_body_that_does_not_come_whole_is_refused(
    known: dict[str, DjangoTwins], counted: list[Any], kind: str, lost: str
) -> None:
    environ, body = request("echo", {"text": "a"})
    content = json.dumps(body).encode()
    environ["CONTENT_LENGTH"] = str(len(content))

    def ask_one(application: Application) -> Any:
        def serve(own: Environ, start_response: Any) -> Any:
            return application({**own, "wsgi.input": Gone()}, start_response)

        return answer_of(serve if lost == "gone" else application, environ, content[:-5])

    answers = [ask_one(one) for one in known[kind].applications]
    assert answers[0] == answers[1]
    assert answers[0][0].startswith("400")
    assert counted == []


def test_no_vary_header_for_a_session_that_is_not_there(known: dict[str, DjangoTwins]) -> None:
    headers = dict(ask(known["wsgi"])[1])
    assert "vary" not in headers
    assert headers["x-frame-options"] == "DENY"


def asgi_calls(
    keep_alive: float, ended: list[str], middleware: Sequence[str] = MIDDLEWARE
) -> tuple[Any, Any, Any, Any]:
    """A project under ASGI with a plain function that waits, and what it waits for."""
    from django.core.asgi import get_asgi_application
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer

    server = MCPServer("slow", open=True, keep_alive=keep_alive)
    begun, go_on = threading.Event(), threading.Event()

    @server.tool
    def slow(fails: bool) -> str:
        begun.set()
        assert go_on.wait(20)
        go_on.clear()
        ended.append("function")
        if fails:
            raise ToolError("told")
        return threading.current_thread().name[:18]

    urls = ModuleType("urls")
    urls.urlpatterns = [path("mcp", include(server.urls))]  # type: ignore[attr-defined]
    settled = override_settings(ROOT_URLCONF=urls, MIDDLEWARE=middleware)
    return settled, get_asgi_application(), begun, go_on


def asgi_scope(tool: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    environ, body = request(tool, arguments)
    content = json.dumps(body).encode()
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    send(over_asgi(application), environ, content)
    return seen[0], content


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "fails"])
def test_a_response_begins_before_a_slow_plain_function_ends(
    counted: list[Any], fails: bool
) -> None:
    scope, content = asgi_scope("slow", {"fails": fails})

    async def run(application: Any, go_on: threading.Event, sent: list[Any]) -> None:
        messages = [{"type": "http.request", "body": content}]

        async def receive() -> Any:
            if not messages:
                await asyncio.sleep(3600)
            return messages.pop()

        async def note(one: Any) -> None:
            sent.append(one)
            go_on.set()

        await application(dict(scope), receive, note)

    answers: list[Any] = []
    # Middleware that Django runs on the thread of the request waits there for the function.
    ended: list[str] = []
    settled, application, _, go_on = asgi_calls(0.03, ended, middleware=())
    with settled:
        application = type(application)()
        # The first request always goes the long way.
        for _ in range(2):
            go_on.clear()
            sent: list[Any] = []
            asyncio.run(run(application, go_on, sent))
            start, *rest = sent
            text = b"".join(one.get("body", b"") for one in rest)
            answers.append((start, {line for line in text.splitlines() if line}))
    assert len(counted) == 1
    # If it had not begun, the function would have failed after 20 seconds.
    assert ended == ["function"] * 2
    assert answers[0] == answers[1]
    assert (b"content-type", b"text/event-stream") in [
        (name.lower(), value) for name, value in answers[0][0]["headers"]
    ]


def test_a_plain_function_ends_before_the_request_of_a_client_that_has_left(
    counted: list[Any],
) -> None:
    scope, content = asgi_scope("slow", {"fails": False})
    ended: list[str] = []
    settled, application, begun, go_on = asgi_calls(15.0, ended)

    async def run() -> None:
        messages = [{"type": "http.request", "body": content}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await asyncio.to_thread(begun.wait, 20)
            begun.clear()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
            return {"type": "http.disconnect"}

        async def note(one: Any) -> None:
            ended.append(one["type"])

        await application(dict(scope), receive, note)
        ended.append("request")

    with settled:
        application = type(application)()
        for _ in range(2):
            asyncio.run(run())
    assert len(counted) == 1
    assert ended == ["function", "request"] * 2
