"""Calls of routes: a request to the application itself, in process, of the same caller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from flask import Flask, current_app, g, has_app_context, request_started
from flask import request as flask_request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RequestRedirect

from mcp_mount.backends.tasks.contexts import context_without
from mcp_mount.openapi.arguments import another_endpoint
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.headers import FORWARDED
from mcp_mount.openapi.operations import path_shape
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer
from mcp_mount.openapi.targets import Send
from mcp_mount.transports.scopes import HOST_PREFIX
from mcp_mount_flask import csrf
from mcp_mount_flask.host import NOTED_USER, note_user
from mcp_mount_flask.requests import environ_of_scope
from mcp_mount_flask.routes import HOST, path_of

FLASK_FORWARDED: Final = (
    *FORWARDED,
    # Flask-Login binds "strong" sessions to it.
    "user-agent",
    # Flask-WTF's token of a request with a session cookie, and what it compares over HTTPS.
    *("x-csrftoken", "x-csrf-token", "referer"),
)
"""The headers of the caller that go along, unless others are named."""

_USER: Final = "mcp_mount.user"
"""The key of an environment with the user that `find_user=` has found. No client can set it."""

_PROXY_FIX: Final = "werkzeug.proxy_fix.orig"
_PROXY: Final = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
_PROXY_ALL: Final = (*_PROXY, "x-forwarded-port", "x-forwarded-prefix")

_Environ = dict[str, Any]


def sending(apps: Callable[[], Flask], forward: Collection[str]) -> Send:
    """How a request is sent to a route.

    Args:
        apps: Gives the application, at each call.
        forward: The headers of the caller that go along.
    """

    def send(request: Any, sent: Sent, collected: ResponseBody) -> Answer:
        app = apps()
        csrf.pass_calls(app)
        environ = _environ(app, request, sent, forward)
        if "{" in sent.operation.path:
            _resolve(app, environ, sent)
        # Without the caller's contexts: Flask would take its application context for the inner
        # request too, and the teardown of that would close what the caller has in `g`.
        run = context_without("flask.").run
        status, headers = run(_call, app.wsgi_app, environ, collected)
        return Answer(status, headers, collected.whole())

    return send


def _resolve(app: Flask, environ: _Environ, sent: Sent) -> None:
    """See to it that a request comes to a rule of its operation, also where the application would
    redirect to it: from a value that is a default of another rule.

    Raises:
        InvalidArguments: For a request that another rule takes.
    """
    adapter = app.create_url_adapter(app.request_class(environ))
    if adapter is None:
        return
    try:
        rule = adapter.match(return_rule=True)[0]
    except RequestRedirect as redirect:
        path = unquote(urlsplit(redirect.new_url).path)
        path = path.removeprefix(environ["SCRIPT_NAME"])
        try:
            rule = adapter.match(path, return_rule=True)[0]
        except HTTPException:
            return
        if path_shape(path_of(rule)) in map(path_shape, sent.operation.paths):
            environ["PATH_INFO"] = path.encode().decode("latin-1")
            return
    except HTTPException:
        # There is none: the application has its own answer.
        return
    if path_shape(path_of(rule)) not in map(path_shape, sent.operation.paths):
        raise another_endpoint(sent.operation.method, path_of(rule))


def _call(
    application: Callable[..., Any], environ: _Environ, collected: ResponseBody
) -> tuple[int, dict[str, str]]:
    """Send a request to a WSGI application; the status and the headers of its response.

    Raises what `collected` raises for a body that is too large: the response is closed then, as a
    server closes it when its client has left.
    """
    status, headers = "500", dict[str, str]()

    def start_response(given: str, pairs: Any, error: Any = None) -> Callable[[bytes], None]:
        nonlocal status
        status = given
        headers.clear()
        headers.update({name.lower(): value for name, value in pairs})
        return collected.add

    chunks: Iterable[bytes] = application(environ, start_response)
    try:
        for chunk in chunks:
            # Headers may come with the first chunk only.
            collected.expect(headers.get("content-length"))
            collected.add(chunk)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    return int(status.partition(" ")[0]), headers


def _caller(app: Flask, request: Any) -> Mapping[str, Any]:
    """The environment of the caller's request: Flask's, a WSGI server's, Django's, Starlette's.

    Its SCRIPT_NAME is the prefix of the application, as far as that is known.
    """
    if isinstance(request, dict):
        return {**request, "SCRIPT_NAME": request.get(HOST_PREFIX, "")}
    if hasattr(request, "environ"):
        is_own = has_app_context() and current_app._get_current_object() is app  # type: ignore[attr-defined]
        environ: Mapping[str, Any] = request.environ
        return environ if is_own else {**environ, "SCRIPT_NAME": ""}
    if hasattr(request, "META"):
        return {**request.META, "SCRIPT_NAME": ""}
    return {} if request is None else environ_of_scope(request.scope)


def _environ(app: Flask, request: Any, sent: Sent, forward: Collection[str]) -> _Environ:
    """The environment of a request to the application, of the same caller."""
    known = _caller(app, request)
    going = {*forward, "host"}
    if _PROXY_FIX in known:
        if _has_proxy_fix(app.wsgi_app):
            # It does to this request what it has done to the caller's.
            known = {**known, **known[_PROXY_FIX]}
            going |= set(_PROXY_ALL) if "x-forwarded-for" in going else set()
        else:
            # It stands before the application, or where it cannot be seen: nothing is left to it.
            going -= set(_PROXY_ALL)
    body = sent.body or b""
    environ = {
        "SERVER_NAME": known.get("SERVER_NAME", "localhost"),
        "SERVER_PORT": known.get("SERVER_PORT", "80"),
        "SERVER_PROTOCOL": known.get("SERVER_PROTOCOL", "HTTP/1.1"),
        "REMOTE_ADDR": known.get("REMOTE_ADDR", "127.0.0.1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": known.get("wsgi.url_scheme", "http"),
        "wsgi.errors": known.get("wsgi.errors") or sys.stderr,
        "wsgi.multithread": known.get("wsgi.multithread", True),
        "wsgi.multiprocess": known.get("wsgi.multiprocess", False),
        "wsgi.run_once": False,
        csrf.CALL: True,
        **{
            key: value
            for key, value in known.items()
            if key.startswith("HTTP_") and key[5:].replace("_", "-").lower() in going
        },
        **{_header(name): value for name, value in sent.headers.items()},
        "REQUEST_METHOD": sent.operation.method.upper(),
        "SCRIPT_NAME": known.get("SCRIPT_NAME", ""),
        "PATH_INFO": sent.path.encode().decode("latin-1"),
        "QUERY_STRING": urlencode(sent.query),
        "CONTENT_TYPE": sent.content_type if sent.body is not None else "",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "application/json, */*;q=0.1",
        "wsgi.input": BytesIO(body),
    }
    host = sent.operation.described.get(HOST)
    if host is not None:
        environ["HTTP_HOST"] = host
    if "authorization" in forward:
        # What the web server, or `find_user=`, has made of it.
        environ |= {key: known[key] for key in ("REMOTE_USER", "AUTH_TYPE") if key in known}
        user = g.get(NOTED_USER) if has_app_context() else None
        if user is not None:
            environ[_USER] = user
    return environ


def _header(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


def _has_proxy_fix(application: Any) -> bool:
    """Whether werkzeug's ProxyFix is among what wraps an application, as far as can be seen."""
    for _ in range(50):
        if isinstance(application, ProxyFix):
            return True
        inner = (getattr(application, name, None) for name in ("app", "wsgi_app", "application"))
        application = next((one for one in inner if callable(one)), None)
        if application is None or isinstance(application, Flask):
            return False
    return False


def _note_user(sender: Flask, **rest: Any) -> None:
    """Let the caller's user be that of the request for a route, before the application looks."""
    user = flask_request.environ.get(_USER)
    if user is not None:
        note_user(None, user)


def pass_users(app: Flask) -> None:
    """Let the users that `find_user=` finds be known to the routes that tools call."""
    request_started.connect(_note_user, app)
