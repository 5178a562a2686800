"""Mount an MCP server in a FastAPI application: `mount(api, "/mcp", server)`.

`expose(api, server, tags=["orders"])` makes tools of endpoints that it already has.
"""

from mcp_mount.openapi.adding import Exposed
from mcp_mount.openapi.headers import FORWARDED
from mcp_mount_fastapi.exposing import as_tool, expose
from mcp_mount_starlette import MCPMount, mount

__all__ = ["FORWARDED", "Exposed", "MCPMount", "as_tool", "expose", "mount"]
