"""The commands for signing in, by their names: the same on the command line of every host."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from mcp_mount.base import MCPServer
from mcp_mount.cli.commands import Declare, Screen


@dataclass(frozen=True, slots=True)
class SignInCommand:
    """A command.

    Args:
        help: What it does, in a line.
        module: Its module, which is imported when somebody types the command: integrations have
            the names of all at the start of an application.
        needs_server: Whether it can do nothing without a server at hand.
    """

    help: str
    module: str
    needs_server: bool = True

    def declare(self, parser: ArgumentParser, of_host: Declare) -> None:
        """Declare its arguments.

        Args:
            parser: The parser of the command.
            of_host: Declares those by which the server is found.
        """
        self._module().declare(parser, of_host)

    def run(self, server: MCPServer | None, options: Namespace, screen: Screen) -> int:
        """Run it; its exit status.

        Args:
            server: The server; None without one at hand.
            options: What was typed.
            screen: Where it is told.

        Raises:
            CommandError: If it cannot be done.
        """
        status: int = self._module().run(server, options, screen)
        return status

    def _module(self) -> Any:
        return import_module(self.module)


COMMANDS: Final[Mapping[str, SignInCommand]] = {
    "connections": SignInCommand(
        "list, revoke and purge the connections of assistants with the application's accounts",
        "mcp_mount.cli.connections",
    ),
    "client": SignInCommand(
        "make the secret or the keys of a client, and the line for the settings",
        "mcp_mount.cli.client",
    ),
    "check": SignInCommand(
        "go the ways of clients to a server, and say what stands in the way",
        "mcp_mount.cli.check",
        needs_server=False,
    ),
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
