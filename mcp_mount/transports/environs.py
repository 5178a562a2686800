"""WSGI environments of requests that no web server has brought (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from mcp_mount.transports.wsgi import Environ


def make_environ(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    host: str = "localhost",
    scheme: str = "http",
) -> Environ:
    """The environment of a request of a client on this machine.

    Args:
        method: The HTTP method.
        path: The path, decoded.
        headers: By their names.
        body: As bytes.
        host: The Host header, unless `headers` has one.
        scheme: "http" or "https".
    """
    named: dict[str, Any] = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()
    }
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": host,
        "SERVER_PORT": "443" if scheme == "https" else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "CONTENT_TYPE": named.pop("HTTP_CONTENT_TYPE", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **named,
    }
