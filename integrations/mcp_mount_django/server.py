"""The server that Django projects register their tools on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.urls import URLPattern, re_path

import mcp_mount
from mcp_mount.base import Host
from mcp_mount.protocol.calls import Call
from mcp_mount_django.calls import detach, run_outside_request
from mcp_mount_django.view import ServerView


class MCPServer(mcp_mount.MCPServer):
    """An MCPServer that lives by the settings of a Django project.

    It seals with SECRET_KEY (and SECRET_KEY_FALLBACKS), leaves Host checks to ALLOWED_HOSTS, shows
    its docs under DEBUG. Each tool call is one transaction per database with ATOMIC_REQUESTS.
    Arguments are those of `mcp_mount.MCPServer`.
    """

    def __init__(self, name: str = "django", **options: Any) -> None:
        super().__init__(name, **options)
        self.attach(
            Host(
                secret_keys=_secret_keys,
                debug=lambda: settings.DEBUG,
                host_names=lambda: settings.ALLOWED_HOSTS,
                detach=detach,
            )
        )

    def run_call(self, call: Call) -> None:
        run_outside_request(call)

    @property
    def urls(self) -> list[URLPattern]:
        """URL patterns for `include`: MCP at the very prefix, the other routes below it."""
        view: Any = ServerView(self)
        return [re_path(r"^(?:/(?P<rest>.*))?$", view, name="mcp")]


def _secret_keys() -> Sequence[str]:
    return [*reversed(settings.SECRET_KEY_FALLBACKS), settings.SECRET_KEY]


server = MCPServer()
"""The default server: apps register their tools on it in their `mcp.py`."""
