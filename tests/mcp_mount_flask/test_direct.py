"""Direct calls in Flask and beside it: the same answers, contexts and functions as the long way."""

from __future__ import annotations

import gc
import json
import os
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import flask
import pytest
from flask import (
    Flask,
    Response,
    abort,
    appcontext_popped,
    appcontext_pushed,
    copy_current_request_context,
    current_app,
    g,
    got_request_exception,
    has_request_context,
    request_finished,
    request_started,
    request_tearing_down,
    session,
    stream_with_context,
    url_for,
)
from flask.ctx import RequestContext
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user
from flask_wtf.csrf import CSRFProtect
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_mount import MCPServer
from mcp_mount_flask import MCPMount, mount
from mcp_mount_flask.lazy import LazyRequestContext
from tests.transports.plain_shop import (
    CALLS,
    DIRECT,
    Application,
    Environ,
    Twins,
    changed,
    changes,
    counted,
    edits,
    request,
    send,
    spoilt,
)
from tests.transports.test_direct import edited

EXAMPLES = int(os.environ.get("DIRECT_EXAMPLES", "120"))


class Refused(Exception):
    """An exception that an error handler of the application answers."""


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


class Note:
    """What happens around the requests of an application, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return events


def application(note: Note, *, hooks: bool = True) -> Flask:
    """An application that notes what it is asked for."""
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    app.add_url_rule("/orders/<int:number>", "order", lambda number: "")
    LoginManager(app).user_loader(User)

    @app.teardown_appcontext
    def end_app(error: BaseException | None) -> None:
        note.events.append(f"teardown_appcontext {error} {has_request_context()} {g.get('mark')}")

    @app.errorhandler(Refused)
    def refuse(error: Refused) -> tuple[str, int]:
        note.events.append(f"errorhandler {flask.request.path}")
        return "Refused by the application", 409

    if not hooks:
        return app

    @app.before_request
    def before() -> None:
        note.events.append(f"before {flask.request.endpoint} {flask.request.path}")

    @app.after_request
    def after(response: Response) -> Response:
        note.events.append(f"after {response.status} {len(response.get_data())}")
        response.headers["x-after"] = "yes"
        return response

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        note.events.append(f"teardown {error} {flask.request.path} {g.get('mark')}")

    return app


def add_tools(server: MCPServer, note: Note) -> None:
    """Tools that look at their contexts."""

    @server.tool
    def where() -> str:
        note.events.append("handler")
        g.mark = "seen"
        current = flask.request
        return " ".join(
            map(
                str,
                (
                    *(current.method, current.path, current.script_root, current.host),
                    *(current.headers.get("user-agent"), current.url_rule, current.view_args),
                    *(current_app.name, url_for("order", number=7), session.get("seen")),
                    *(current_user.get_id(), has_request_context(), current.remote_addr),
                    *(type(flask.globals.request_ctx._get_current_object()).__name__,),  # type: ignore[attr-defined]
                ),
            )
        )

    @server.tool
    def whole() -> Any:
        return flask.request.get_json()["id"]

    @server.tool
    def stream() -> str:
        return flask.request.stream.read().decode()

    @server.tool
    def keeps() -> str:
        session["seen"] = "kept"
        return "kept"

    @server.tool
    def aborts(code: int) -> str:
        abort(code, "No such thing")

    @server.tool
    def refuses() -> str:
        raise Refused

    @server.tool
    def breaks() -> str:
        g.mark = "broken"
        raise ValueError("secret")

    @server.tool
    def responds(status: int) -> Any:
        return Response('{"a": 1}', status, content_type="application/json")

    @server.tool
    def later() -> Any:
        @flask.after_this_request
        def mark(response: Response) -> Response:
            response.headers["x-this"] = "yes"
            return response

        return "later"

    @server.tool
    def streams() -> str:
        def parts() -> Iterator[str]:
            yield flask.request.path

        return "".join(stream_with_context(parts()))

    @server.tool
    def copies() -> str:
        @copy_current_request_context
        def path() -> str:
            return f"{flask.request.path} {current_app.name}"

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(path).result()

    @server.tool
    def other() -> str:
        with Flask("other").app_context():
            inner = f"{current_app.name} {flask.request.path} {session.get('seen')}"
        return f"{inner} {current_app.name}"

    @server.tool
    def threads() -> list[str]:
        barrier = threading.Barrier(4)

        def look() -> str:
            barrier.wait(10)
            return f"{flask.request.path} {session.get('seen')} {current_user.get_id()}"

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(copy_context().run, look) for _ in range(4)]
            return [one.result() for one in running]


LOOKS: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {})
        for name in (
            *("where", "whole", "stream", "keeps", "refuses", "breaks", "later", "streams"),
            *("copies", "other", "threads"),
        )
    ),
    *(("aborts", {"code": code}) for code in (400, 403, 404, 429, 500)),
    *(("responds", {"status": status}) for status in (200, 404)),
]


class FlaskTwins(Twins):
    """Two applications, one of which answers direct calls.

    Args:
        kind: "inside" or "beside".
        hooks: Whether they have functions around requests.
    """

    def __init__(self, kind: str, *, hooks: bool = True) -> None:
        self.notes: list[Note] = []
        self.apps: list[Flask] = []

        def host(server: MCPServer) -> Application:
            note = Note()
            app = application(note, hooks=hooks)
            add_tools(server, note)
            self.notes.append(note)
            self.apps.append(app)
            if kind == "inside":
                MCPMount(app, "/mcp", server)
                return app
            return mount(app, "/mcp", server)

        super().__init__(host)

    def both(self, environ: Environ, body: bytes) -> Any:
        answer = super().both(environ, body)
        events = [note.take() for note in self.notes]
        assert events[0] == events[1]
        self.events = events[0]
        return answer


KINDS = {
    "inside": FlaskTwins("inside"),
    "inside, without functions": FlaskTwins("inside", hooks=False),
    "beside": FlaskTwins("beside"),
    "beside, without functions": FlaskTwins("beside", hooks=False),
}
TOOLS = DIRECT | {name for name, _ in LOOKS}


@pytest.fixture(params=KINDS)
def twins(request: pytest.FixtureRequest) -> FlaskTwins:
    return KINDS[request.param]


def cookie(app: Flask) -> str:
    """The session cookie of a browser that has logged in."""
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    return f"session={serializer.dumps({'seen': 'before', '_user_id': 'ann', '_fresh': True})}"


@pytest.mark.parametrize("logged_in", [False, True], ids=["nobody", "user"])
@pytest.mark.parametrize(("tool", "arguments"), [*CALLS, *LOOKS])
def test_right_requests_are_answered_alike(
    twins: FlaskTwins, tool: str, arguments: dict[str, Any], logged_in: bool
) -> None:
    environ, body = request(tool, arguments)
    environ["HTTP_USER_AGENT"] = "tests"
    if logged_in:
        environ["HTTP_COOKIE"] = cookie(twins.apps[0])
    with counted() as direct:
        twins.both(environ, json.dumps(body).encode())
    assert len(direct) == (1 if tool in TOOLS else 0)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    tool=st.sampled_from([*CALLS, *LOOKS]),
    given_changes=changes,
    given_edits=edits,
    given_spoilt=spoilt,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "OPTIONS"]),
    path=st.sampled_from(["/mcp", "/mcp", "/mcp", "/mcp/", "/mcp/x"]),
)
def test_odd_requests_are_answered_alike(
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
    KINDS[kind].both(changed(environ, given_changes, method), content)


@pytest.mark.parametrize(
    "own",
    [{"HTTP_TRANSFER_ENCODING": "chunked"}, {"CONTENT_LENGTH": "abc"}, {"CONTENT_LENGTH": ""}],
    ids=["chunks", "no number", "none"],
)
@pytest.mark.parametrize("content", [b"{}", b"{"])
def test_a_body_that_is_not_read_by_its_length_goes_the_long_way(
    twins: FlaskTwins, own: dict[str, Any], content: bytes
) -> None:
    environ, _ = request("where", {})
    with counted() as direct:
        twins.both({**environ, **own, "wsgi.input_terminated": True}, content)
    assert direct == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TRUSTED_HOSTS", ["shop.example"]),
        ("SERVER_NAME", "shop.example"),
        ("SECRET_KEY", None),
        ("SESSION_COOKIE_NAME", "other"),
        ("APPLICATION_ROOT", "/x"),
        ("MAX_CONTENT_LENGTH", 10),
        ("PROPAGATE_EXCEPTIONS", True),
    ],
    ids=lambda value: value if str(value).isupper() else "",
)
# Werkzeug 2.3 warns of another name when it makes a context, which a lazy one need not be.
@pytest.mark.filterwarnings("ignore:Current server name")
@pytest.mark.parametrize("kind", ["inside", "beside, without functions"])
def test_applications_answer_alike_however_they_are_configured(
    kind: str, key: str, value: Any
) -> None:
    twins = FlaskTwins(kind, hooks=kind == "inside")
    for app in twins.apps:
        app.config[key] = value
    for tool, arguments in LOOKS:
        for own in ({}, {"HTTP_HOST": "shop.example", "SCRIPT_NAME": "/below"}):
            environ, body = request(tool, arguments)
            twins.both(environ | own, json.dumps(body).encode())


def test_the_functions_of_the_application_run_around_a_direct_call() -> None:
    twins = KINDS["inside"]
    environ, body = request("where", {})
    with counted() as direct:
        status, headers, _ = twins.both(environ, json.dumps(body).encode())
    assert len(direct) == 1
    assert status == "200 OK"
    assert ("x-after", "yes") in headers
    length = dict(headers)["content-length"]
    assert twins.events == [
        "before mcp_mount_mcp /mcp",
        "handler",
        f"after 200 OK {length}",
        "teardown None /mcp seen",
        "teardown_appcontext None False seen",
    ]


def test_a_function_that_is_added_later_runs() -> None:
    note = Note()
    app = application(note, hooks=False)
    server = MCPServer("shop", secret_key="k", open=True)
    add_tools(server, note)
    whole = mount(app, "/mcp", server)
    environ, body = request("where", {})
    content = json.dumps(body).encode()
    with counted() as direct:
        for _ in range(2):
            send(whole, environ, content)
        assert len(direct) == 1
        note.take()

        @app.teardown_request
        def end(error: BaseException | None) -> None:
            note.events.append(f"teardown {flask.request.path}")

        send(whole, environ, content)
        assert len(direct) == 2
    assert note.take() == ["handler", "teardown /mcp", "teardown_appcontext None False seen"]


def echoing() -> tuple[Flask, list[str]]:
    """An application with a tool, and with what that was called."""
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    mcp = MCPMount(app, "/mcp", open=True)
    heard: list[str] = []

    @mcp.tool
    def echo(text: str) -> str:
        heard.append(text)
        return text

    return app, heard


def test_a_before_request_function_refuses_a_direct_call() -> None:
    app, heard = echoing()

    @app.before_request
    def refuse() -> tuple[str, int] | None:
        return ("no", 403) if "x-refused" in flask.request.headers else None

    environ, body = request("echo", {"text": "a"})
    content = json.dumps(body).encode()
    with counted() as direct:
        for _ in range(2):
            assert send(app, environ, content)[0] == "200 OK"
        answer = send(app, environ | {"HTTP_X_REFUSED": "yes"}, content)
    assert answer[0] == "403 FORBIDDEN"
    assert len(heard) == 2
    assert len(direct) == 1


def test_what_before_request_functions_have_read_is_the_body() -> None:
    app, _ = echoing()
    seen: list[Any] = []

    @app.before_request
    def look() -> None:
        seen.append(flask.request.get_json()["id"])

    environ, body = request("echo", {"text": "a"})
    for _ in range(2):
        assert b'"text":"a"' in send(app, environ, json.dumps(body).encode())[2]
    assert seen == [7, 7]


@pytest.mark.parametrize("limit", [10, 10_000])
def test_the_applications_own_limit_holds(limit: int) -> None:
    app, _ = echoing()
    environ, body = request("echo", {"text": "a"})
    send(app, environ, json.dumps(body).encode())
    app.config["MAX_CONTENT_LENGTH"] = limit
    status = send(app, environ, json.dumps(body).encode())[0]
    assert status.startswith("413" if limit == 10 else "200")


def test_a_session_cookie_needs_a_token_where_forms_are_protected() -> None:
    app, _ = echoing()
    CSRFProtect(app)
    environ, body = request("echo", {"text": "a"})
    content = json.dumps(body).encode()
    for _ in range(2):
        assert send(app, environ, content)[0].startswith("200")
    with counted() as direct:
        assert send(app, environ | {"HTTP_COOKIE": cookie(app)}, content)[0].startswith("403")
        assert direct == []
        assert send(app, environ, content)[0].startswith("200")
        assert len(direct) == 1


def test_signals_are_sent_around_direct_calls() -> None:
    seen: dict[str, list[str]] = {}
    for kind in ("inside, without functions", "beside, without functions"):
        twins = KINDS[kind]
        events = seen.setdefault(kind, [])
        signals = {
            "started": request_started,
            "finished": request_finished,
            "failed": got_request_exception,
            "pushed": appcontext_pushed,
            "popped": appcontext_popped,
        }
        receivers = {
            name: lambda sender, events=events, name=name, **more: events.append(name)
            for name in signals
        }
        for name, signal in signals.items():
            signal.connect(receivers[name], twins.apps[0])
        try:
            environ, body = request("breaks", {})
            with counted() as direct:
                twins.both(environ, json.dumps(body).encode())
            assert len(direct) == 1
        finally:
            for name, signal in signals.items():
                signal.disconnect(receivers[name], twins.apps[0])
    assert seen == {
        "inside, without functions": ["pushed", "started", "failed", "finished", "popped"],
        "beside, without functions": ["pushed", "failed", "popped"],
    }


def beside(app: Flask) -> tuple[Application, list[Any]]:
    """A server beside an application, with a tool that looks at nothing, and one that does; and
    the request contexts that they had."""
    server = MCPServer("shop", secret_key="k", open=True)
    contexts: list[Any] = []

    def note() -> Any:
        found = flask.globals.request_ctx._get_current_object()  # type: ignore[attr-defined]
        contexts.append((found, type(found)))
        return found

    @server.tool
    def nothing() -> str:
        note()
        return "nothing"

    @server.tool
    def looks() -> str:
        context = note()
        assert flask.request.path == "/mcp"
        assert type(context) is RequestContext
        return "looked"

    whole = mount(app, "/mcp", server)
    for tool in ("nothing", "looks", "nothing"):
        environ, body = request(tool, {})
        assert send(whole, environ, json.dumps(body).encode())[0] == "200 OK"
    assert has_request_context() is False
    return whole, [kind for _, kind in contexts]


def test_a_request_context_is_made_when_something_looks_at_it() -> None:
    _, kinds = beside(Flask("shop", static_folder=None))
    # The first request goes the long way.
    assert kinds == [RequestContext, LazyRequestContext, LazyRequestContext]


class OwnSessions(SecureCookieSessionInterface):
    """An interface that an application has written."""


class OwnRequest(flask.Request):
    """A request class that an application has written."""


class OwnFlask(Flask):
    def request_context(self, environ: Any) -> RequestContext:
        return super().request_context(environ)


def with_sessions() -> Flask:
    app = Flask("shop", static_folder=None)
    app.session_interface = OwnSessions()
    return app


def with_requests() -> Flask:
    app = Flask("shop", static_folder=None)
    app.request_class = OwnRequest
    return app


@pytest.mark.parametrize(
    "make", [with_sessions, with_requests, lambda: OwnFlask("shop", static_folder=None)]
)
def test_what_an_application_has_written_for_its_requests_is_used_at_once(make: Any) -> None:
    _, kinds = beside(make())
    assert kinds == [RequestContext] * 3


def test_an_application_context_that_is_there_is_taken() -> None:
    app = Flask("shop", static_folder=None)
    whole, _ = beside(app)
    ended: list[Any] = []
    app.teardown_appcontext(ended.append)
    environ, body = request("nothing", {})
    with app.app_context():
        send(whole, environ, json.dumps(body).encode())
        assert ended == []
    assert ended == [None]


def test_a_request_context_is_made_for_what_a_handler_adds_to_its_end() -> None:
    app = Flask("shop", static_folder=None)
    ended: list[str] = []

    def end(sender: Any, **more: Any) -> None:
        ended.append(flask.request.path)

    server = MCPServer("shop", secret_key="k", open=True)

    @server.tool
    def listens() -> str:
        request_tearing_down.connect(end, app)
        return "listens"

    whole = mount(app, "/mcp", server)
    environ, body = request("listens", {})
    content = json.dumps(body).encode()
    for _ in range(2):
        # The first request goes the long way.
        send(whole, environ, content)
        request_tearing_down.disconnect(end)
    assert ended == ["/mcp", "/mcp"]


def test_a_thread_that_outlives_its_request_has_the_request() -> None:
    app = Flask("shop", static_folder=None)
    server = MCPServer("shop", secret_key="k", open=True)
    go_on = threading.Event()

    with ThreadPoolExecutor(1) as pool:

        def look() -> str:
            assert go_on.wait(10)
            return f"{flask.request.path} {session.get('seen')} {current_app.name}"

        running = []

        @server.tool
        def starts() -> str:
            running.append(pool.submit(copy_context().run, look))
            return "started"

        whole = mount(app, "/mcp", server)
        environ, body = request("starts", {})
        with counted() as direct:
            for _ in range(2):
                send(whole, environ, json.dumps(body).encode())
        assert len(direct) == 1
        go_on.set()
        assert [one.result(10) for one in running] == ["/mcp None shop"] * 2


def test_what_a_handler_had_is_freed_although_it_has_asked_for_its_request() -> None:
    app = Flask("shop", static_folder=None)
    server = MCPServer("shop", secret_key="k", open=True)
    had: list[Any] = []

    class Large:
        pass

    @server.tool
    def loads() -> str:
        large = Large()
        had.append(weakref.ref(large))
        return flask.request.path

    whole = mount(app, "/mcp", server)
    environ, body = request("loads", {})
    gc.disable()
    try:
        with counted() as direct:
            for _ in range(2):
                send(whole, environ, json.dumps(body).encode())
        assert len(direct) == 1
        # Without the garbage collector.
        assert had[1]() is None
    finally:
        gc.enable()


def test_a_request_that_cannot_be_made_fails_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Flask("shop", static_folder=None)
    whole, _ = beside(app)

    def fail(*args: Any) -> Any:
        raise RuntimeError("no session")

    monkeypatch.setattr(SecureCookieSessionInterface, "open_session", fail)
    environ, body = request("nothing", {})
    assert b'"nothing"' in send(whole, environ, json.dumps(body).encode())[2]
    environ, body = request("looks", {})
    with pytest.raises(RuntimeError, match="no session"):
        send(whole, environ, json.dumps(body).encode())
    assert has_request_context() is False


@pytest.mark.parametrize("kind", ["inside", "beside"])
def test_threads_have_their_own_contexts(kind: str) -> None:
    app = Flask("shop", static_folder=None)
    app.secret_key = "k"
    server = MCPServer("shop", secret_key="k", open=True)
    ended: list[Any] = []
    app.teardown_appcontext(lambda error: ended.append(g.number))

    @server.tool
    def number() -> str:
        g.number = flask.request.headers["x-number"]
        return f"{g.number} {session.get('seen')}"

    whole = app if kind == "inside" else mount(app, "/mcp", server)
    if kind == "inside":
        MCPMount(app, "/mcp", server)
    own = cookie(app)

    def ask(number: int) -> None:
        environ, body = request("number", {})
        environ |= {"HTTP_X_NUMBER": str(number), "HTTP_COOKIE": own}
        content = send(whole, environ, json.dumps(body).encode())[2]
        assert json.loads(content)["result"]["content"][0]["text"] == f"{number} before"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(300)))
    assert sorted(map(int, ended)) == list(range(300))
