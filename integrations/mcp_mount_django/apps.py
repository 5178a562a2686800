"""The Django app: finds the tools of all installed apps."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MCPMountConfig(AppConfig):
    name = "mcp_mount_django"
    verbose_name = "MCP"

    def ready(self) -> None:
        """Import the `mcp` module of each installed app, as Django's admin does with `admin`."""
        autodiscover_modules("mcp")
