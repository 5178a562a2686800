"""Mount an MCP server in a Flask application: `mcp = MCPMount(app, "/mcp")`, then `@mcp.tool`.

`expose(app, mcp, blueprints=["orders"])` makes tools of routes that the application already has.
"""

import mcp_mount_flask._installed  # noqa: F401
from mcp_mount.openapi.adding import Exposed
from mcp_mount_flask.blueprint import MCPBlueprint
from mcp_mount_flask.exposing import as_tool, expose
from mcp_mount_flask.extension import MCPMount
from mcp_mount_flask.wrapping import mount, mount_asgi

__all__ = ["Exposed", "MCPBlueprint", "MCPMount", "as_tool", "expose", "mount", "mount_asgi"]
