"""What an authorization server is told: the choices of the application's owner, and its server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mcp_mount.auth.authorization.configured_clients import Client
from mcp_mount.auth.authorization.enterprise import IDJAG
from mcp_mount.auth.authorization.grants import Lifetimes


@dataclass(frozen=True, slots=True)
class ScopeTool:
    """A tool that a scope opens, for the consent page.

    Attributes:
        title: What it is called.
        is_destructive: Whether it may change or delete what there is.
    """

    title: str
    is_destructive: bool


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """What the application's owner has chosen.

    Attributes:
        scopes: The scopes that there are, with words for people.
        lifetimes: How long things are good.
        clients: The clients that are configured, by their ids.
        registers: Whether clients may register themselves.
        reads_documents: Whether clients may publish their metadata.
        verifies_keys: Whether clients may authenticate by the keys that their documents name.
        enterprise: The identity providers that vouch for people.
        admits: Whether codes may be sent to a redirect URI.
        server_name: Returns what the MCP server is called.
        tools: Returns the tools that a scope opens.
    """

    scopes: Mapping[str, str]
    lifetimes: Lifetimes
    clients: Mapping[str, Client]
    registers: bool
    reads_documents: bool
    verifies_keys: bool
    enterprise: Sequence[IDJAG]
    admits: Callable[[str], bool]
    server_name: Callable[[], str] = lambda: ""
    tools: Callable[[str], Sequence[ScopeTool]] = lambda scope: ()
