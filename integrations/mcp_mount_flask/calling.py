"""Calls of exposed routes: requests to the application itself, in process, by the same caller."""

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
from mcp_mount_flask.requests import environ_of_scope
from mcp_mount_flask.routes import HOST, path_of
from mcp_mount_flask.users import NOTED_USER, note_user

FLASK_FORWARDED: Final = (
    *FORWARDED,
    # Flask-Login ties "strong" sessions to it.
    "user-agent",
    # Flask-WTF checks the token of requests with a session cookie, and the referer over HTTPS.
    *("x-csrftoken", "x-csrf-token", "referer"),
)
"""The headers of the caller that are forwarded by default."""

_USER: Final = "mcp_mount.user"
"""The environ key of the user that `find_user=` has found. No client can set it."""

_PROXY_FIX: Final = "werkzeug.proxy_fix.orig"
_PROXY: Final = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
_PROXY_ALL: Final = (*_PROXY, "x-forwarded-port", "x-forwarded-prefix")

_Environ = dict[str, Any]


def sending(apps: Callable[[], Flask], forward: Collection[str]) -> Send:
    """Return the function that sends a request to a route.

    Args:
        apps: Returns the application, for each call.
        forward: The headers of the caller to forward.
    """

    def send(request: Any, sent: Sent, collected: ResponseBody) -> Answer:
        app = apps()
        csrf.pass_calls(app)
        environ = _environ(app, request, sent, forward)
        if "{" in sent.operation.path:
            _resolve(app, environ, sent)
        # The caller's contexts are set aside: Flask would use its application context for the inner
        # request too, and the teardown of that request would close what the caller has in `g`.
        run = context_without("flask.").run
        status, headers = run(_call, app.wsgi_app, environ, collected)
        return Answer(status, headers, collected.whole())

    return send


def _resolve(app: Flask, environ: _Environ, sent: Sent) -> None:
    """Make the request match a rule of its operation, also if the application would redirect it
    there, because a value is the default of another rule.

    Raises:
        InvalidArguments: If another rule matches the request.
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
        # No rule matches: the application answers by itself.
        return
    if path_shape(path_of(rule)) not in map(path_shape, sent.operation.paths):
        raise another_endpoint(sent.operation.method, path_of(rule))


def _call(
    application: Callable[..., Any], environ: _Environ, collected: ResponseBody
) -> tuple[int, dict[str, str]]:
    """Send a request to a WSGI application and return the status and headers of its response.

    If the body is too large, the exception of `collected` is raised. The response is then closed,
    as a web server closes it when its client has disconnected.
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
            # The headers may come with the first chunk only.
            collected.expect(headers.get("content-length"))
            collected.add(chunk)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    return int(status.partition(" ")[0]), headers


def _caller(app: Flask, request: Any) -> Mapping[str, Any]:
    """Return the environ of the caller's request, which may be Flask's, a WSGI server's, Django's
    or Starlette's.

    Its SCRIPT_NAME is the prefix of the application, if that is known.
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
    """Return the environ of a request to the application by the same caller."""
    known = _caller(app, request)
    going = {*forward, "host"}
    if _PROXY_FIX in known:
        if _has_proxy_fix(app.wsgi_app):
            # ProxyFix changes this request in the same way as the caller's.
            known = {**known, **known[_PROXY_FIX]}
            going |= set(_PROXY_ALL) if "x-forwarded-for" in going else set()
        else:
            # ProxyFix wraps the application object, or cannot be seen: give it nothing to read
            # again.
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
        # As the web server, or `find_user=`, has set it.
        environ |= {key: known[key] for key in ("REMOTE_USER", "AUTH_TYPE") if key in known}
        user = g.get(NOTED_USER) if has_app_context() else None
        if user is not None:
            environ[_USER] = user
    return environ


def _header(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


def _has_proxy_fix(application: Any) -> bool:
    """Whether Werkzeug's ProxyFix is among the middleware around an application, as far as it
    shows.
    """
    for _ in range(50):
        if isinstance(application, ProxyFix):
            return True
        inner = (getattr(application, name, None) for name in ("app", "wsgi_app", "application"))
        application = next((one for one in inner if callable(one)), None)
        if application is None or isinstance(application, Flask):
            return False
    return False


def _note_user(sender: Flask, **rest: Any) -> None:
    """Set the caller's user as the user of the request to a route, before the application looks."""
    user = flask_request.environ.get(_USER)
    if user is not None:
        note_user(None, user)


def pass_users(app: Flask) -> None:
    """Make the users that `find_user=` finds known to the routes that tools call."""
    request_started.connect(_note_user, app)
