"""One small call to a tool on each host, within this process and without a web server.

Beside these, hosts without mcp-mount: views as applications have them, and applications that
answer at once, to tell what of a cost is ours.
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from fastapi import FastAPI
from flask import Flask
from flask import request as flask_request
from starlette.applications import Starlette

import mcp_mount_django
import mcp_mount_fastapi
import mcp_mount_flask
import mcp_mount_starlette
from mcp_mount import ChatRequest, CompletionsRouter, Context, MCPServer
from tests.requests import (
    CAPABILITIES,
    CLIENT_INFO,
    JSON_HEADERS,
    STATELESS,
    VERSION,
    initialize,
    message,
    session_headers,
    stateless,
)

KEY = "a secret key for the tests"
PORT = "8000"

Call = Callable[[int], bytes]
"""Sends a request as often as it is told; returns the body of the last response."""
Request = tuple[Mapping[str, str], bytes]
"""Headers and body."""


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


# The tools.


async def echo(text: str) -> str:
    """Return the text."""
    return text


def echo_plain(text: str) -> str:
    """Return the text."""
    return text


async def echo_throttled(ctx: Context, text: str) -> str:
    """Return the text."""
    return text


# The models.


async def quick(request: ChatRequest) -> str:
    return "hello"


def plain(request: ChatRequest) -> str:
    return "hello"


def alone(kind: Callable[..., Any] = MCPServer) -> Any:
    return filled(kind("tests", secret_key=KEY, open=True))


def filled(server: Any) -> Any:
    server.tool(echo)
    server.tool(echo_plain)
    server.tool(throttle="1000/second")(echo_throttled)
    chats = CompletionsRouter()
    chats.chat(quick)
    chats.chat(plain)
    server.include_router(chats)
    return server


# The requests.


def call(tool: str = "echo") -> Request:
    """A call as clients of revision 2026-07-28 send it."""
    meta = {VERSION: STATELESS, CAPABILITIES: {}, CLIENT_INFO: {"name": "tests", "version": "1"}}
    params = {"name": tool, "arguments": {"text": "hello"}, "_meta": meta}
    return stateless("tools/call", params)


def call_in_session(send: Callable[[Request], tuple[Mapping[str, str], bytes]]) -> Request:
    """A call in a session of revision 2025-11-25, which is opened first."""
    headers, _ = send((JSON_HEADERS, initialize()))
    params = {"name": "echo", "arguments": {"text": "hello"}}
    body = json.dumps(message("tools/call", params)).encode()
    return session_headers(headers["mcp-session-id"]), body


PLAIN: Request = ({"content-type": "application/json"}, b'{"text": "hello"}')


# Applications as hosts have them.


@csrf_exempt
def django_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"text": json.loads(request.body)["text"]})


urlpatterns: list[Any] = [path("view", django_view)]


@functools.cache
def django_server() -> Any:
    """Set Django up as `startproject` does, and mount a server at /mcp."""
    settings.configure(
        SECRET_KEY=KEY,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "mcp_mount_django",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        USE_TZ=True,
    )
    django.setup()
    server = alone(mcp_mount_django.MCPServer)
    urlpatterns.append(path("mcp", include(server.urls)))
    return server


def django_wsgi() -> Any:
    django_server()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    django_server()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def flask_app() -> Flask:
    app = Flask("tests")
    app.config.from_mapping(SECRET_KEY=KEY, MCP_OPEN=True)

    @app.post("/view")
    def view() -> dict[str, str]:
        assert flask_request.json is not None
        return {"text": flask_request.json["text"]}

    return app


def in_flask() -> Flask:
    app = flask_app()
    filled(mcp_mount_flask.MCPMount(app, "/mcp"))
    return app


def beside_flask() -> Any:
    return mcp_mount_flask.mount(flask_app(), "/mcp", alone())


def beside_flask_asgi() -> Any:
    return mcp_mount_flask.mount_asgi(flask_app(), "/mcp", alone())


def beside_django() -> Any:
    return mcp_mount_django.mount(django_wsgi(), "/mcp", django_server())


def mounted(app: Any, mount: Callable[..., None]) -> Any:
    mount(app, "/mcp", alone())
    return app


async def at_once(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that does nothing but answer."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def by_hand(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that knows one tool, and checks nothing."""
    request = json.loads((await receive())["body"])
    text = request["params"]["arguments"]["text"]
    result = {"content": [{"type": "text", "text": text}], "structuredContent": {"result": text}}
    response = {"jsonrpc": "2.0", "id": request["id"], "result": result}
    body = json.dumps(response).encode()
    length = (b"content-length", str(len(body)).encode())
    headers = [(b"content-type", b"application/json"), length]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def at_once_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """A WSGI application that does nothing but answer."""
    start_response("200 OK", [])
    return [b"hello"]


# How they are called.


def over_asgi(application: Any, request: Request | None = None, path: str = "/mcp") -> Call:
    """Sends a request to an ASGI application, by default the call in a session."""

    async def send_one(headers: Mapping[str, str], body: bytes) -> tuple[Any, bytes]:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", int(PORT)),
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
            "method": "POST",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "state": {},
        }
        sent: list[Any] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if not waiting:
                # The client stays.
                await asyncio.Event().wait()
            return waiting.pop()

        async def send(part: Any) -> None:
            sent.append(part)

        await application(scope, receive, send)
        assert sent[0]["status"] == 200, sent
        return sent[0]["headers"], b"".join(part.get("body", b"") for part in sent[1:])

    async def send_many(request: Request, times: int) -> tuple[Any, bytes]:
        headers, body = request
        headers = {"host": f"127.0.0.1:{PORT}", **headers, "content-length": str(len(body))}
        for _ in range(times - 1):
            await send_one(headers, body)
        return await send_one(headers, body)

    def opened(request: Request) -> tuple[dict[str, str], bytes]:
        headers, body = loop().run_until_complete(send_many(request, 1))
        return {name.decode(): value.decode() for name, value in headers}, body

    known = call_in_session(opened) if request is None else request
    return lambda times: loop().run_until_complete(send_many(known, times))[1]


def over_wsgi(application: Any, request: Request, path: str = "/mcp") -> Call:
    """Sends a request to a WSGI application."""
    headers, body = request
    names = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": PORT,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": f"127.0.0.1:{PORT}",
        "CONTENT_TYPE": names.pop("HTTP_CONTENT_TYPE"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **names,
    }

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        assert status.startswith("200"), status

    def send_one() -> bytes:
        answer = application({**environ, "wsgi.input": io.BytesIO(body)}, start_response)
        try:
            return b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()

    def send_many(times: int) -> bytes:
        for _ in range(times - 1):
            send_one()
        return send_one()

    return send_many


# The hosts.


@dataclass(frozen=True)
class Host:
    """An application, and how it is called.

    Attributes:
        make: Makes both.
        driver: The host that shows what sending a request costs by itself.
        without: The host that shows what the request would cost without mcp-mount.
    """

    make: Callable[[], Call]
    driver: str
    without: str | None = None


NOTHING, NOTHING_WSGI, BY_HAND = "nothing", "nothing, WSGI", "written by hand"
FLASK_VIEW, DJANGO_VIEW = "a view of Flask", "a view of Django"
DJANGO_ASGI_VIEW = "a view of Django, ASGI"


def asgi(
    make: Callable[[], Any],
    request: Request | None,
    without: str | None = None,
    path: str = "/mcp",
) -> Host:
    return Host(lambda: over_asgi(make(), request, path), NOTHING, without)


def wsgi(
    make: Callable[[], Any], request: Request, without: str | None = None, path: str = "/mcp"
) -> Host:
    return Host(lambda: over_wsgi(make(), request, path), NOTHING_WSGI, without)


CALL, CALL_PLAIN = call(), call("echo_plain")

CHATS = "/v1/chat/completions"


def ask(model: str) -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello?"}]}
    return PLAIN[0], json.dumps(body).encode()


HOSTS = {
    # Without mcp-mount.
    NOTHING: asgi(lambda: at_once, PLAIN),
    NOTHING_WSGI: wsgi(lambda: at_once_wsgi, PLAIN),
    BY_HAND: asgi(lambda: by_hand, CALL),
    FLASK_VIEW: wsgi(flask_app, PLAIN, path="/view"),
    DJANGO_VIEW: wsgi(django_wsgi, PLAIN, path="/view"),
    DJANGO_ASGI_VIEW: asgi(django_asgi, PLAIN, path="/view"),
    # With it. Hosts call what is usual on them: plain functions under WSGI.
    "alone": asgi(alone, CALL, NOTHING),
    "alone, session": asgi(alone, None, NOTHING),
    "alone, plain function": asgi(alone, CALL_PLAIN, NOTHING),
    "alone, context and throttle": asgi(alone, call("echo_throttled"), NOTHING),
    "alone, WSGI": wsgi(lambda: alone().wsgi, CALL_PLAIN, NOTHING_WSGI),
    "alone, WSGI, coroutine": wsgi(lambda: alone().wsgi, CALL, NOTHING_WSGI),
    "alone, chat": asgi(alone, ask("quick"), NOTHING, CHATS),
    "alone, chat, plain function": asgi(alone, ask("plain"), NOTHING, CHATS),
    "alone, WSGI, chat": wsgi(lambda: alone().wsgi, ask("plain"), NOTHING_WSGI, CHATS),
    "in Starlette": asgi(lambda: mounted(Starlette(), mcp_mount_starlette.mount), CALL, NOTHING),
    "in FastAPI": asgi(lambda: mounted(FastAPI(), mcp_mount_fastapi.mount), CALL, NOTHING),
    "in FastAPI, chat": asgi(
        lambda: mounted(FastAPI(), mcp_mount_fastapi.mount), ask("quick"), NOTHING, f"/mcp{CHATS}"
    ),
    "in Flask": wsgi(in_flask, CALL_PLAIN, FLASK_VIEW),
    "in Flask, chat": wsgi(in_flask, ask("plain"), FLASK_VIEW, f"/mcp{CHATS}"),
    "beside Flask": wsgi(beside_flask, CALL_PLAIN, NOTHING_WSGI),
    "beside Flask, chat": wsgi(beside_flask, ask("plain"), NOTHING_WSGI, f"/mcp{CHATS}"),
    "beside Flask, ASGI": asgi(beside_flask_asgi, CALL, NOTHING),
    "in Django": wsgi(django_wsgi, CALL_PLAIN, DJANGO_VIEW),
    "in Django, chat": wsgi(django_wsgi, ask("plain"), DJANGO_VIEW, f"/mcp{CHATS}"),
    "in Django, ASGI": asgi(django_asgi, CALL, DJANGO_ASGI_VIEW),
    "beside Django": wsgi(beside_django, CALL_PLAIN, NOTHING_WSGI),
    "beside Django, chat": wsgi(beside_django, ask("plain"), NOTHING_WSGI, f"/mcp{CHATS}"),
}
