"""The command line: `python -m mcp_mount`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from mcp_mount.base import MCPServer
from mcp_mount.host import Host
from mcp_mount.loading import LoadError, load_server
from mcp_mount.protocol import Request
from mcp_mount.transports.stdio import StdioTransport


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    parser = argparse.ArgumentParser(prog="mcp_mount", description="MCP servers of web apps.")
    commands = parser.add_subparsers(dest="command", required=True)
    stdio = commands.add_parser(
        "stdio", help="serve on standard input and output, for an assistant on this machine"
    )
    stdio.add_argument("target", help="the server or its host application, as module:attribute")
    stdio.add_argument("--path", help="where it is mounted, if the host has several")
    options = parser.parse_args(arguments)
    with protected_output() as sink:
        try:
            server = load_server(options.target, path=options.path)
        except LoadError as error:
            parser.error(str(error))
        serve_stdio(server, sys.stdin.buffer, sink)
    return 0


def serve_stdio(
    server: MCPServer,
    source: BinaryIO,
    sink: BinaryIO,
    around: Callable[[], AbstractContextManager[Request]] | None = None,
) -> None:
    """Serve one client on two streams; returns when `source` has ended.

    Args:
        server: The server.
        source: Where the client's messages come from, a line each.
        sink: Where it reads the answers.
        around: What each message is handled in, which tells what the host knows of the client.
    """
    host = server.attached or Host()

    async def serve() -> None:
        options = {} if around is None else {"around": around}
        transport = StdioTransport(server.protocol, server.runner, host.detach, **options)
        try:
            if server.has_lifespan:
                async with server.router.lifespan_context(server):
                    await transport.serve(source, sink)
            else:
                await transport.serve(source, sink)
        finally:
            server.tasks.close()

    asyncio.run(serve())


def protected_output() -> BinaryIO:
    """Standard output for messages alone: what tools print goes to standard error from now on."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(own, "wb")
