"""Routers: parts that a server is put together from, each with MCP features and HTTP routes."""

from mcp_mount.routes.completions import CompletionsRouter
from mcp_mount.routes.images import ImageRouter
from mcp_mount.routes.router import MCPRouter
from mcp_mount.routes.tools import ToolsRouter

__all__ = ["CompletionsRouter", "ImageRouter", "MCPRouter", "ToolsRouter"]
