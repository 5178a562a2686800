"""Beside Flask: the server stands before the application, at the WSGI or the ASGI level."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask

import mcp_mount
from mcp_mount.base import MCPServer
from mcp_mount.mounting import check_mount
from mcp_mount_flask.host import host_of


def mount(app: Flask, path: str, server: MCPServer) -> mcp_mount.mount_wsgi:
    """Return a WSGI application: `server` at `path`, the Flask application everywhere else.

    Tools run inside a request context of the application, but none of its before_request
    functions, routes or error handlers see the request.
    """
    check_mount(app, path, server, Flask)
    server.attach(host_of(app, is_beside=True))

    def around(environ: dict[str, Any]) -> AbstractContextManager[Any]:
        return app.request_context(environ)

    return mcp_mount.mount_wsgi(app, path, server, around=around)


def mount_asgi(app: Flask, path: str, server: MCPServer) -> mcp_mount.mount_asgi:
    """Return an ASGI application: `server` at `path`, the Flask application everywhere else.

    Tools run natively on the ASGI server, inside an application context.
    """
    check_mount(app, path, server, Flask)
    server.attach(host_of(app, is_beside=True))
    inner: Any = WSGIMiddleware(app)  # type: ignore[arg-type]
    return mcp_mount.mount_asgi(inner, path, server, around=app.app_context)
