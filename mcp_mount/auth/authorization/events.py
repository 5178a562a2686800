"""What happens at the authorization server, for logs and for the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mcp_mount.wire.errors import contained
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount.signin")

Kind: TypeAlias = Literal[
    "client registered",
    "client refused",
    "assertion reused",
    "document fetched",
    "document refused",
    "consent asked",
    "consent granted",
    "consent denied",
    "tokens issued",
    "tokens refreshed",
    "code reused",
    "refresh token reused",
    "connection revoked",
    "connection ended",
    "token revoked",
]


@dataclass(frozen=True, slots=True)
class SignInEvent:
    """Something that happened at the authorization server.

    Attributes:
        kind: What happened.
        user: The id of the person, where one is known.
        client: What the client calls itself.
        client_host: The host that published the client's metadata, if one did.
        connection: The id of the connection, where there is one, or of the token of a client by
            itself.
        scopes: What was asked for or granted.
        address: The address of the client or browser.
        detail: More, for people; nothing secret.
    """

    kind: Kind
    user: str | None = None
    client: str = ""
    client_host: str | None = None
    connection: str | None = None
    scopes: tuple[str, ...] = ()
    address: str | None = None
    detail: str = ""


Listener: TypeAlias = Callable[[SignInEvent], object]


class Events:
    """Tells of events: the log, the user's function and the host.

    Args:
        listener: The user's function; a plain one, which must not block for long.
    """

    def __init__(self, listener: Listener | None) -> None:
        self.listeners: list[Listener] = [] if listener is None else [listener]

    def tell(self, event: SignInEvent) -> None:
        """Tell of an event. A listener that fails stops nothing."""
        level = logger.warning if event.kind.endswith("reused") else logger.info
        level(
            "%s: user %s, client %r (%s), connection %s%s",
            event.kind,
            event.user,
            event.client,
            event.client_host or "unverified",
            event.connection,
            f", {event.detail}" if event.detail else "",
        )
        for listener in self.listeners:
            try:
                listener(event)
            except BaseException as error:
                contained(error)
                logger.exception("A listener of sign-in events failed")
