"""Beside Flask: the server stands before the application, at the WSGI or the ASGI level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask
from flask import Request as FlaskRequest

import mcp_mount
from mcp_mount.base import MCPServer
from mcp_mount.transports.environs import Environ
from mcp_mount.transports.paths import clean_prefix
from mcp_mount.transports.scopes import HOST_REQUEST, Scope
from mcp_mount.wire.host_names import check_patterns
from mcp_mount.wrapping.arguments import DirectlyWithin, check_mount
from mcp_mount_flask.host import host_of
from mcp_mount_flask.lazy import can_be_lazy, lazy_request
from mcp_mount_flask.requests import environ_beside, environ_of_scope, read_request


def mount(app: Flask, path: str, server: MCPServer) -> mcp_mount.mount_wsgi:
    """Return a WSGI application: `server` at `path`, the Flask application everywhere else.

    Tools run inside a request context of the application, but none of its before_request
    functions, routes or error handlers see the request.

    Args:
        app: The application.
        path: Where the server is.
        server: The server.

    Returns:
        What a WSGI server is to run.

    Raises:
        TypeError: For what is no application or no server.
    """
    _attach(app, path, server)
    place = clean_prefix(path)

    @contextmanager
    def around(environ: Environ) -> Iterator[None]:
        with app.request_context(environ_beside(environ)):
            environ[HOST_REQUEST] = read_request(place)
            yield

    def directly(environ: Environ) -> DirectlyWithin:
        # Copied, as it was for this request: Flask writes into it.
        own: Callable[[], Environ] = partial(dict, environ)
        within = lazy_request if can_be_lazy(app) else _request
        return within(app, own), partial(read_request, place)

    return mcp_mount.mount_wsgi(app, path, server, around=around, directly=directly)


def mount_asgi(app: Flask, path: str, server: MCPServer) -> mcp_mount.mount_asgi:
    """Return an ASGI application: `server` at `path`, the Flask application everywhere else.

    Tools run natively on the ASGI server, inside a request context of the application whose
    request has no body; none of its before_request functions see it.

    Args:
        app: The application.
        path: Where the server is.
        server: The server.

    Returns:
        What an ASGI server is to run.

    Raises:
        TypeError: For what is no application or no server.
    """
    _attach(app, path, server)

    @contextmanager
    def around(scope: Scope) -> Iterator[None]:
        with app.request_context(environ_of_scope(scope)):
            known = read_request(clean_prefix(path))
            # The user may be loaded from a database: not on the event loop.
            known.may_block = "cookie" in known.headers or "authorization" in known.headers
            scope[HOST_REQUEST] = known
            yield

    def directly(scope: Scope) -> DirectlyWithin | None:
        if not can_be_lazy(app):
            return None
        own = partial(environ_of_scope, scope)
        return lazy_request(app, own), partial(read_request, clean_prefix(path))

    inner: Any = WSGIMiddleware(app)  # type: ignore[arg-type]
    return mcp_mount.mount_asgi(inner, path, server, around=around, directly=directly)


@contextmanager
def _request(app: Flask, environ: Callable[[], Environ]) -> Iterator[None]:
    with app.request_context(environ()):
        yield


def _attach(app: Flask, path: str, server: MCPServer) -> None:
    check_mount(app, path, server, Flask)
    server.core.attach(replace(host_of(app, is_beside=True), request_type=FlaskRequest))
    settings = server.core.protocol.settings
    if settings.allowed_hosts is None and (trusted := app.config.get("TRUSTED_HOSTS")):
        # Flask checks them where it routes a request, which it does not for these.
        settings.allowed_hosts = check_patterns("TRUSTED_HOSTS", trusted)
