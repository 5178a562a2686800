"""A request of the application, as the protocol reads it; and the application's environment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Any

from a2wsgi.wsgi import build_environ
from flask import request

from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.transports.scopes import HOST_PREFIX, Scope
from mcp_mount.transports.wsgi import Environ, read_headers, server_of
from mcp_mount_flask.host import current_caller, current_role, note_user


def read_request(path: str, body: bytes = b"") -> ProtocolRequest:
    """The current request of the application, for the server that is mounted at `path`."""
    current = request._get_current_object()  # type: ignore[attr-defined]
    return ProtocolRequest(
        current.method,
        read_headers(current.environ),
        body,
        lambda: current,
        caller=current_caller,
        has_role=current_role,
        url=partial(url_of, path),
        address=current.remote_addr,
        server=server_of(current.environ),
        mount=current.script_root + path,
        on_token=note_user,
    )


def url_of(path: str) -> str:
    """The URL of the server that is mounted at `path`, as the client wrote it."""
    return request.host_url.rstrip("/") + request.script_root + path


def environ_beside(environ: Environ) -> Environ:
    """The environment of a request to a server beside the application, as the application has it:
    its URLs begin at its own prefix, and not at the mount."""
    prefix = environ.get(HOST_PREFIX, "")
    path = environ["SCRIPT_NAME"][len(prefix) :] + environ["PATH_INFO"]
    return {**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path}


def environ_of_scope(scope: Scope) -> Environ:
    """The same for a server beside under ASGI. The body is not there."""
    prefix = scope.get(HOST_PREFIX, "")
    body: Any = BytesIO()
    whole: Any = {**scope, "root_path": prefix}
    environ: Mapping[str, Any] = build_environ(whole, body)
    return {**environ, "SCRIPT_NAME": prefix, "CONTENT_LENGTH": "0"}
