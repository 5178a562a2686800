"""The command line: `python -m mcp_mount`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
    nullcontext,
)
from functools import partial
from typing import Any, BinaryIO

from starlette.requests import Request as StarletteRequest

from mcp_mount.base import MCPServer
from mcp_mount.cli.commands import Screen
from mcp_mount.cli.console import CommandError
from mcp_mount.cli.loading import LoadError, load_server
from mcp_mount.cli.sign_in_commands import COMMANDS
from mcp_mount.protocol import Request
from mcp_mount.transports.lifespans import is_asgi, lifespan_of
from mcp_mount.transports.scopes import LOOP
from mcp_mount.transports.stdio import StdioTransport


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    parser = argparse.ArgumentParser(prog="mcp_mount", description="MCP servers of web apps.")
    commands = parser.add_subparsers(dest="command", required=True)
    stdio = commands.add_parser(
        "stdio", help="serve on standard input and output, for an assistant on this machine"
    )
    _declare_target(stdio)
    for name, command in COMMANDS.items():
        of_host = _declare_target if command.needs_server else _declare_app
        command.declare(commands.add_parser(name, help=command.help), of_host)
    options = parser.parse_args(arguments)
    try:
        if options.command != "stdio":
            server = options.target and load_server(options.target, path=options.path)[0]
            return COMMANDS[options.command].run(server, options, Screen(print))
        with protected_output() as sink:
            server, app = load_server(options.target, path=options.path)
            refuse_requests(server)
            serve_stdio(server, sys.stdin.buffer, sink, app=app)
    except (LoadError, CommandError) as error:
        parser.error(str(error))
    return 0


def _declare_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", help="the server or its host application, as module:attribute")
    _declare_path(parser)


def _declare_app(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--app",
        dest="target",
        help="the application, as module:attribute, to ask whether it reaches its backplane and "
        "the documents of clients",
    )
    _declare_path(parser)


def _declare_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", help="where it is mounted, if the host has several")


def serve_stdio(
    server: MCPServer,
    source: BinaryIO,
    sink: BinaryIO,
    around: Callable[[], AbstractContextManager[Request]] | None = None,
    *,
    app: Any = None,
) -> None:
    """Serve one client on two streams; returns when `source` has ended.

    Args:
        server: The server.
        source: Where the client's messages come from, a line each.
        sink: Where it reads the answers.
        around: What each message is handled in, which tells what the host knows of the client. By
            default a request of Starlette that has no headers and comes from nobody.
        app: The application that the server is in, if it is one for ASGI: its lifespan runs, and
            the requests of handlers have it and its state.
    """

    async def serve() -> None:
        async with _lifespan_of_host(app, server) as state, _own_lifespan(server):
            loop = asyncio.get_running_loop()
            given = around or partial(_own_request, server, app, {**state}, loop)
            core = server.core
            transport = StdioTransport(core.protocol, core.runner, core.host.detach, given)
            try:
                await transport.serve(source, sink)
            finally:
                core.tasks.close()

    asyncio.run(serve())


def _lifespan_of_host(app: Any, server: MCPServer) -> AbstractAsyncContextManager[dict[str, Any]]:
    if app is None or app is server or not is_asgi(app):
        return nullcontext({})
    return lifespan_of(app)


def _own_lifespan(server: MCPServer) -> AbstractAsyncContextManager[Any]:
    """That of the server, where its application does not run it."""
    if server.core.has_lifespan:
        return server.core.lifespan(server)
    return nullcontext()


@contextmanager
def _own_request(
    server: MCPServer, app: Any, state: Mapping[str, Any], loop: asyncio.AbstractEventLoop
) -> Iterator[Request]:
    """What each message of a client on this machine is handled in: a request like those over HTTP,
    for handlers that ask for one."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": server.core.mcp_path,
        "root_path": "",
        "path_params": {},
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": None,
        "server": ("localhost", None),
        "state": {**server.core.lifespan.state, **state},
        LOOP: loop,
    }
    request = server.core.request_beside(scope, app)
    yield Request("POST", {}, host_request=lambda: request, may_block=server.core.needs_loop)


def refuse_requests(server: MCPServer) -> None:
    """Refuse to serve handlers that take a request of a host that has none here.

    Raises:
        LoadError: With their names, and what to do.
    """
    kind = server.core.host.request_type
    if kind is None or issubclass(StarletteRequest, kind):
        return
    registry = server.registry
    kinds: tuple[Mapping[str, Any], ...] = (registry.tools, registry.resources, registry.prompts)
    entries = [item for entries in kinds for item in entries.items()]
    names = [name for name, entry in entries if entry.arguments.request is not None]
    if names:
        raise LoadError(
            f"over stdio there is no {kind.__module__}.{kind.__qualname__}, which "
            f"{', '.join(names)} take{'s' if len(names) == 1 else ''}: use the command of the "
            "framework (flask mcp stdio, manage.py mcp stdio), which makes one"
        )


def protected_output() -> BinaryIO:
    """Standard output for messages alone: what tools print goes to standard error from now on."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(own, "wb")
