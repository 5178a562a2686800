"""A request for tokens, as all grants get it: who asks, and for what (OAuth 2.1, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcp_mount.auth.authorization.clients import digest_of
from mcp_mount.auth.authorization.configured_clients import Client
from mcp_mount.auth.authorization.web import WebRequest


@dataclass(frozen=True, slots=True)
class KnownClient:
    """The client that sends a request.

    Attributes:
        id: Its id.
        own: It, if the application's owner has configured it.
        stamp: What its tokens carry, if it has proved who it is by a secret or a key of the
            owner's configuration.
        signed: Whether it has proved who it is by a key.
    """

    id: str
    own: Client | None = None
    stamp: str | None = None
    signed: bool = False

    @property
    def digest(self) -> str:
        """Tells it apart from others, in what is kept and sealed."""
        return digest_of(self.id)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks for, by whatever grant.

    Attributes:
        client: The client.
        resources: The resources that it names (RFC 8707).
        scopes: The scopes that it names; none for all that it may have.
        web: The HTTP request, with the accounts of the application and the client's address.
    """

    client: KnownClient
    resources: Sequence[str]
    scopes: Sequence[str]
    web: WebRequest
