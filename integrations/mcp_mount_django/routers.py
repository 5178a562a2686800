"""A router of tools that also makes tools of what the project has already."""

from __future__ import annotations

import mcp_mount
from mcp_mount_django.exposing.server_methods import ExposeMixin


class ToolsRouter(ExposeMixin, mcp_mount.ToolsRouter):
    """A `mcp_mount.ToolsRouter` that has what a server has for models, views and endpoints of the
    project (`register`, `add_view`, `add_viewset`, `expose`, …), so that its rules hold for them.
    """
