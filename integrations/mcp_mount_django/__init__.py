"""Mount an MCP server in a Django project.

Inside: add "mcp_mount_django" to INSTALLED_APPS, write tools in the `mcp.py` of any app with
`from mcp_mount_django import server`, and route them: `path("mcp", include(server.urls))`.
Beside: `application = mount(get_wsgi_application(), "/mcp", server)`.
"""

from mcp_mount_django.beside import mount
from mcp_mount_django.server import MCPServer, server

__all__ = ["MCPServer", "mount", "server"]
