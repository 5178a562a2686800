"""The command `connections`: the assistants that people have connected, to see and to end."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.auth.authorization.connections import MAX_LISTED, Connection
from mcp_mount.base import MCPServer
from mcp_mount.cli.commands import Declare, Screen, printable, sign_in_of
from mcp_mount.cli.console import CommandError

if TYPE_CHECKING:
    from mcp_mount.auth.authorization.sign_in import SignIn


_COLUMNS: Final = ("id", "user", "client", "host", "scopes", "connected", "last used")


def declare(parser: ArgumentParser, of_host: Declare) -> None:
    """Declare the arguments of the command.

    Args:
        parser: The parser of the command.
        of_host: Declares those by which the server is found.
    """
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show connections that hold")
    of_host(listing)
    _declare_choice(listing)
    listing.add_argument("--json", action="store_true", help="as JSON")
    revoking = actions.add_parser("revoke", help="end connections")
    of_host(revoking)
    revoking.add_argument("ids", nargs="*", metavar="ID", help="the ids of connections")
    _declare_choice(revoking)
    revoking.add_argument("--yes", action="store_true", help="do not ask")
    of_host(actions.add_parser("purge", help="delete connections that have expired or ended"))


def run(server: MCPServer, options: Namespace, screen: Screen) -> int:
    """Run the command; its exit status.

    Args:
        server: The server.
        options: What was typed.
        screen: Where it is told.

    Raises:
        CommandError: If it cannot be done.
    """
    sign_in = sign_in_of(server)
    if not sign_in.store.is_shared:
        raise CommandError(
            f"The connections of {server.title!r} are in the memory of the process that serves it, "
            "where no command sees them: give SignIn a store="
        )
    if options.action == "list":
        return _list(sign_in, options, screen)
    if options.action == "revoke":
        return _revoke(sign_in, options, screen)
    screen.write(f"{sign_in.purge()} deleted.")
    return 0


def _declare_choice(parser: ArgumentParser) -> None:
    parser.add_argument("--user", help="those of this person, by their id")
    parser.add_argument(
        "--client", help="those of this client: its name, or the host that vouches for it"
    )


def _list(sign_in: SignIn, options: Namespace, screen: Screen) -> int:
    found = sign_in.store.list(options.user, options.client)
    if options.json:
        text = json.dumps([*map(_members, found)], indent=2, ensure_ascii=False)
        # JSON escapes the control characters of ASCII alone.
        screen.write(
            "".join(one if one.isprintable() or one == "\n" else _escaped(one) for one in text)
        )
        return 0
    for line in _table(found):
        screen.write(line)
    if len(found) == MAX_LISTED:
        screen.write(f"The newest {MAX_LISTED}; there may be more: use --user or --client.")
    return 0


def _escaped(character: str) -> str:
    """A character that a terminal must not have, as JSON writes it."""
    return json.dumps(character)[1:-1]


def _revoke(sign_in: SignIn, options: Namespace, screen: Screen) -> int:
    by_choice = options.user is not None or options.client is not None
    if by_choice == bool(options.ids):
        raise CommandError("Name connections by their ids, or by --user or --client")
    found: Sequence[Connection] = (
        sign_in.store.list(options.user, options.client)
        if by_choice
        else _named(sign_in, dict.fromkeys(options.ids))
    )
    if not found:
        screen.write("There are none.")
        return 0
    for line in _table(found):
        screen.write(line)
    if not options.yes and not screen.confirms(f"Revoke {_counted(len(found))}?"):
        screen.write("Nothing was revoked.")
        return 1
    count = 0
    while found:
        count += sum(map(sign_in.revoke, found))
        # There may be more than a list has.
        found = sign_in.store.list(options.user, options.client) if by_choice else ()
    screen.write(f"{count} revoked. Their access tokens are refused within ten seconds.")
    return 0


def _named(sign_in: SignIn, ids: Iterable[str]) -> list[Connection]:
    """The connections with some ids.

    Raises:
        CommandError: If there is none with one of them, or it has ended.
    """
    found = []
    for id in ids:
        held = sign_in.store.get(id)
        if held is None or held.revoked is not None:
            raise CommandError(f"There is no connection {id!r} that holds")
        found.append(held)
    return found


def _counted(number: int) -> str:
    return f"{number} connection{'' if number == 1 else 's'}"


def _table(connections: Sequence[Connection]) -> Iterator[str]:
    """A line for each connection, below their titles; one that says so, if there is none."""
    if not connections:
        yield "No assistant is connected."
        return
    rows = [
        (
            one.id,
            one.user,
            one.client_name or "-",
            one.client_host or "(unverified)",
            " ".join(one.scopes) or "-",
            _day(one.created),
            _day(one.used),
        )
        for one in connections
    ]
    cells = [[title.upper() for title in _COLUMNS], *([*map(printable, row)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield line.rstrip()


def _members(connection: Connection) -> Mapping[str, Any]:
    return {
        "id": connection.id,
        "user": connection.user,
        "client": connection.client_name,
        "host": connection.client_host,
        "resource": connection.resource,
        "scopes": list(connection.scopes),
        "connected": _moment(connection.created).isoformat(timespec="seconds"),
        "last_used": _moment(connection.used).isoformat(timespec="seconds"),
        "refreshed": connection.generation,
    }


def _day(seconds: float) -> str:
    return f"{_moment(seconds):%Y-%m-%d}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
