"""Mount an MCP server in a Django project.

Add "mcp_mount_django" to INSTALLED_APPS, write tools in the `mcp.py` of any app with `from
mcp_mount_django import server`, and add the server to the URLs: `path("mcp",
include(server.urls))`. To put the server in front of the project instead: `application =
mount(get_wsgi_application(), "/mcp", server)`.
"""

from typing import TYPE_CHECKING, Any

import mcp_mount_django._installed  # noqa: F401
from mcp_mount_django.authenticators import AuthenticationFailed, bearer_token
from mcp_mount_django.calls import atomic
from mcp_mount_django.exposing import ModelQuery, as_tool
from mcp_mount_django.routers import ToolsRouter
from mcp_mount_django.servers import MCPServer, default_server
from mcp_mount_django.wrapping import mount

if TYPE_CHECKING:
    server: MCPServer

__all__ = [
    "AuthenticationFailed",
    "MCPServer",
    "ModelQuery",
    "ToolsRouter",
    "as_tool",
    "atomic",
    "bearer_token",
    "mount",
    "server",
]


def __getattr__(name: str) -> Any:
    if name == "server":
        # The default server, on which apps register the tools of their `mcp.py`.
        return default_server()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
