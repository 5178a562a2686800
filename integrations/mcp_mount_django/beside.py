"""Beside Django: the server stands before the project, at the WSGI or the ASGI level."""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction

import mcp_mount
from mcp_mount_django.servers import MCPServer


def mount(
    application: Any, path: str, server: MCPServer
) -> mcp_mount.mount_wsgi | mcp_mount.mount_asgi:
    """Serve `server` at `path` beside a Django project, in wsgi.py or asgi.py.

    application: what get_wsgi_application() or get_asgi_application() returns. Django's URLs and
    middleware do not see the server's requests; its settings, models and connections are there.
    """
    server.is_beside = True
    if iscoroutinefunction(type(application).__call__):
        return mcp_mount.mount_asgi(application, path, server)
    return mcp_mount.mount_wsgi(application, path, server)
