"""Mount an MCP server in a FastAPI application: `mount(api, "/mcp", server)`."""

from mcp_mount_starlette import MCPMount, mount

__all__ = ["MCPMount", "mount"]
