"""The command `check`: finds out, from outside, whether clients can sign in and connect, and from
the server's own side whether it reaches what it needs for that."""

from __future__ import annotations

import ssl
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mcp_mount.base import MCPServer
from mcp_mount.cli.checking.asking import Asker
from mcp_mount.cli.checking.backplanes import ask_backplane
from mcp_mount.cli.checking.discovery import Discovery
from mcp_mount.cli.checking.documents import check_places, check_resource, check_server
from mcp_mount.cli.checking.endpoints import check_address, check_challenge, check_endpoints
from mcp_mount.cli.checking.findings import Finding
from mcp_mount.cli.checking.outbound import check_outbound
from mcp_mount.cli.checking.pages import check_pages
from mcp_mount.cli.checking.walks import walks
from mcp_mount.cli.commands import Declare, Screen, printable
from mcp_mount.cli.console import CommandError


def declare(parser: ArgumentParser, of_host: Declare) -> None:
    """Declare the arguments of the command.

    Args:
        parser: The parser of the command.
        of_host: Declares those by which the server is found.
    """
    parser.add_argument("url", help="the URL of the server, as clients get it")
    declare_trust(parser)
    of_host(parser)


def declare_trust(parser: ArgumentParser) -> None:
    """Declare the argument that says which certificates are good.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("--ca", help="a file with certificates to trust, besides the usual ones")


def run(server: MCPServer | None, options: Namespace, screen: Screen) -> int:
    """Run the command; its exit status: 1 if something stands in the way.

    Args:
        server: The server, if its application is at hand: then it is asked whether it reaches its
            backplane and the documents of clients.
        options: What was typed.
        screen: Where it is told.

    Raises:
        CommandError: For what is no URL, and no file.
    """
    url: str = options.url
    if not _is_url(url):
        raise CommandError(f"{url!r} is no URL such as https://shop.example/mcp")
    has_sign_in = server is not None and server.core.values["auth"] is not None
    discovery = Discovery(url, Asker(_context(options.ca)), has_sign_in=has_sign_in)
    found = [*_findings(discovery, server)]
    for finding in sorted(found, key=lambda one: not one.is_in_the_way):
        for line in finding.lines():
            screen.write(printable(line))
    is_in_the_way = any(one.is_in_the_way for one in found)
    if discovery.challenge.status and not discovery.is_open:
        for one in walks(discovery):
            way = " > ".join(place.removeprefix(discovery.origin) for place in one.way)
            words = f"stops: {one.problem}" if one.problem else way
            screen.write(printable(f"{one.client.name:<15} {words}"))
            is_in_the_way |= bool(one.problem) and not one.client.is_reported
    screen.write("Something stands in the way." if is_in_the_way else "Nothing stands in the way.")
    return int(is_in_the_way)


def _findings(discovery: Discovery, server: MCPServer | None) -> Iterator[Finding]:
    if server is not None:
        yield from ask_backplane(server)
    yield from check_address(discovery)
    yield from check_challenge(discovery)
    if not discovery.challenge.status or discovery.is_open:
        return
    yield from check_places(discovery)
    yield from check_resource(discovery)
    yield from check_server(discovery)
    yield from check_endpoints(discovery)
    yield from check_pages(discovery)
    # Another authorization server fetches documents from elsewhere.
    is_own = server is not None and server.core.sign_in is not None
    if is_own and discovery.server.get("client_id_metadata_document_supported"):
        yield from check_outbound()


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _context(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        if not Path(ca).is_file():
            raise CommandError(f"There is no file {ca!r}")
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError as error:
            raise CommandError(f"{ca}: {error}") from None
    return context
