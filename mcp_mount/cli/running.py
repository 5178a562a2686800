"""How a server serves by itself: `MCPServer.run`."""

from __future__ import annotations

import sys
from typing import Any

from mcp_mount.cli.loading import LoadError
from mcp_mount.cli.main import protected_output, refuse_requests, serve_stdio
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError


def run(server: Any, transport: str, host: str, port: int) -> None:
    """Serve by a transport, until the process is told to end.

    Raises:
        DefinitionError: For a transport that there is not, and for what cannot be served by it.
    """
    if transport == "stdio":
        try:
            refuse_requests(server)
        except LoadError as error:
            raise DefinitionError(str(error)) from None
        with protected_output() as sink:
            serve_stdio(server, sys.stdin.buffer, sink, app=server)
        return
    if transport not in ("http", "streamable-http"):
        raise DefinitionError(
            f"run takes 'stdio' or 'streamable-http', not {transport!r}"
            + ("; the old HTTP+SSE transport is not served" if transport == "sse" else "")
        )
    with requires("server", "run('streamable-http')"):
        import uvicorn
    uvicorn.run(server, host=host, port=port)
