"""Tools and a resource of a server whose processes share a backplane."""

# No `from __future__ import annotations`: the functions are local, and so are what they name.

from mcp_mount import Context, MCPServer, TaskPolicy

URI = "benchmark://text"


def fill_shared(server: MCPServer) -> MCPServer:
    """Add everything to a server, and return it."""

    @server.resource(URI)
    async def text() -> str:
        return "text"

    @server.tool
    async def speak(ctx: Context) -> str:
        """Say something, and return something: two events."""
        await ctx.report_progress(1)
        return "hello"

    @server.tool(task=TaskPolicy(ttl=3600))
    async def soon() -> str:
        """Return a text, as a task."""
        return "hello"

    @server.tool
    async def change(times: int) -> str:
        """Tell of so many changes."""
        for _ in range(times):
            server.notify.resource_updated(URI)
        return "hello"

    return server
