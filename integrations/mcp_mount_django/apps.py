"""The Django app, which discovers the tools of all installed apps."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules


class MCPMountConfig(AppConfig):
    """The AppConfig of this package, for INSTALLED_APPS."""

    name = "mcp_mount_django"
    verbose_name = "MCP"

    def ready(self) -> None:
        """Import the `mcp` module of each installed app, as the admin does with `admin`.

        Raises:
            DefinitionError: If a tool cannot be registered, for example because its name is taken.
            ImproperlyConfigured: If MCP_MOUNT is invalid. A project with a misspelt permission must
                not start, whichever way it is served.
        """
        import_module("mcp_mount_django.checks")
        autodiscover_modules("mcp")
        servers = import_module("mcp_mount_django.servers")
        if getattr(settings, "MCP_MOUNT", None):
            servers.default_server()
        for server in servers.servers:
            # Servers that were created before the apps were ready.
            server.authentication.load()
