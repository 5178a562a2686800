"""The Django app: finds the tools of all installed apps."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules


class MCPMountConfig(AppConfig):
    """The app of this package, for INSTALLED_APPS."""

    name = "mcp_mount_django"
    verbose_name = "MCP"

    def ready(self) -> None:
        """Import the `mcp` module of each installed app, as Django's admin does with `admin`.

        Raises:
            DefinitionError: For a tool that cannot be one, such as a second one of its name.
            ImproperlyConfigured: For a setting MCP_MOUNT with which no server can be made: a
                project with a guard that is misspelt does not start, whatever serves it.
        """
        import_module("mcp_mount_django.checks")
        autodiscover_modules("mcp")
        servers = import_module("mcp_mount_django.servers")
        if getattr(settings, "MCP_MOUNT", None):
            servers.default_server()
        for server in servers.servers:
            # Those that were made before the apps were ready.
            server.authentication.load()
