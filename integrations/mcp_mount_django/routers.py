"""A router for tools that can also expose models, views and endpoints of the project."""

from __future__ import annotations

import mcp_mount
from mcp_mount_django.exposing.server_methods import ExposeMixin


class ToolsRouter(ExposeMixin, mcp_mount.ToolsRouter):
    """A `mcp_mount.ToolsRouter` with the methods of a Django server that expose existing code
    (`register`, `add_view`, `add_viewset`, `expose`, …). The router's policies apply to what they
    expose.
    """
