"""What the commands for signing in have in common: each is declared and run alike by
`python -m mcp_mount`, by `flask mcp` and by `manage.py mcp`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mcp_mount.base import MCPServer
from mcp_mount.cli.console import CommandError

if TYPE_CHECKING:
    from mcp_mount.auth.authorization.sign_in import SignIn

Declare: TypeAlias = Callable[[ArgumentParser], object]
"""Declares the arguments by which the host's command finds the server."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a command writes, and whom it asks.

    Args:
        write: Writes a line.
        ask: Asks a question, and returns the answer.
    """

    write: Callable[[str], object]
    ask: Callable[[str], str] = input

    def confirms(self, question: str) -> bool:
        """Whether the person says yes; not, if there is nobody to ask."""
        try:
            return self.ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


def sign_in_of(server: MCPServer) -> SignIn:
    """The SignIn of a server.

    Args:
        server: The server.

    Raises:
        CommandError: If it has none.
    """
    sign_in = server.core.sign_in
    if sign_in is None:
        raise CommandError(f"The server {server.title!r} has no SignIn")
    return sign_in


def printable(text: str) -> str:
    """A text from outside, as a terminal may have it."""
    return "".join(one if one.isprintable() else "?" for one in text)
