"""Convert requests of the application to requests of the protocol, and environs of servers in front
of the application to its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Any

from a2wsgi.wsgi import build_environ
from flask import request

from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.transports.environs import Environ, read_headers, server_of
from mcp_mount.transports.scopes import HOST_PREFIX, Scope
from mcp_mount_flask.users import current_caller, current_role, note_user


def read_request(path: str, body: bytes = b"") -> ProtocolRequest:
    """Return the current request of the application for a server.

    Args:
        path: The mount point of the server.
        body: The body.
    """
    current = request._get_current_object()  # type: ignore[attr-defined]
    return ProtocolRequest(
        current.method,
        read_headers(current.environ),
        body,
        lambda: current,
        caller=current_caller,
        has_role=current_role,
        # Clients compare it with what they were given.
        url=partial(url_of, f"{path}/" if current.path == f"{path}/" else path),
        address=current.remote_addr,
        server=server_of(current.environ),
        mount=current.script_root + path,
        on_token=note_user,
    )


def url_of(path: str) -> str:
    """Return the URL of the server at `path`, as the client wrote it."""
    return request.host_url.rstrip("/") + request.script_root + path


def environ_beside(environ: Environ) -> Environ:
    """Return the environ that the application would have for a request to a server in front of it:
    URLs begin at the application's prefix and not at the mount point.
    """
    prefix = environ.get(HOST_PREFIX, "")
    path = environ["SCRIPT_NAME"][len(prefix) :] + environ["PATH_INFO"]
    return {**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path}


def environ_of_scope(scope: Scope) -> Environ:
    """Return the same for a server in front of the application under ASGI, without the body."""
    prefix = scope.get(HOST_PREFIX, "")
    body: Any = BytesIO()
    whole: Any = {**scope, "root_path": prefix}
    environ: Mapping[str, Any] = build_environ(whole, body)
    return {**environ, "SCRIPT_NAME": prefix, "CONTENT_LENGTH": "0"}
