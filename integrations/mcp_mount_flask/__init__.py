"""Mount an MCP server in a Flask application: `mcp = MCPMount(app, "/mcp")`, then `@mcp.tool`."""

from mcp_mount_flask.beside import mount, mount_asgi
from mcp_mount_flask.extension import MCPMount

__all__ = ["MCPMount", "mount", "mount_asgi"]
