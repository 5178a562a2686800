"""FastMCP."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP


def stateless() -> Any:
    server: Any = FastMCP("benchmark")

    async def echo(text: str) -> str:
        """Return the text."""
        return text

    server.tool(echo)

    return server.http_app(path="/mcp", stateless_http=True, json_response=True)
