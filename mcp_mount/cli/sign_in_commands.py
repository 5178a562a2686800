"""The commands for signing in, by their names: the same on the command line of every host."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mcp_mount.base import MCPServer
from mcp_mount.cli import connections
from mcp_mount.cli.commands import Declare, Screen


@dataclass(frozen=True, slots=True)
class SignInCommand:
    """A command.

    Attributes:
        help: What it does, in a line.
        declare: Declares its arguments.
        run: Runs it, for a server; returns the exit status.
    """

    help: str
    declare: Callable[[ArgumentParser, Declare], None]
    run: Callable[[MCPServer, Namespace, Screen], int]


COMMANDS: Final[Mapping[str, SignInCommand]] = {
    "connections": SignInCommand(connections.HELP, connections.declare, connections.run),
}


def parsed(program: str, name: str, words: Sequence[str], of_host: Declare) -> Namespace:
    """What was typed for a command, where another parser has read its name.

    Args:
        program: How the host's command is called.
        name: The name of the command.
        words: What was typed behind it.
        of_host: Declares the arguments by which the server is found.
    """
    command = COMMANDS[name]
    parser = ArgumentParser(prog=f"{program} {name}", description=command.help)
    command.declare(parser, of_host)
    return parser.parse_args(words)
