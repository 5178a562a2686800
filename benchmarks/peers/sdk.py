"""The official Python SDK."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer


def _server() -> MCPServer:
    server = MCPServer("benchmark", log_level="ERROR")

    @server.tool()
    async def echo(text: str) -> str:
        """Return the text."""
        return text

    return server


def stateless() -> Any:
    return _server().streamable_http_app(stateless_http=True, json_response=True)


def session() -> Any:
    return _server().streamable_http_app(json_response=True)
