"""What is known of a caller by an access token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token, or an API key, says of its bearer.

    The token itself is not kept: it is for this server alone, and is passed on to nobody.

    Args:
        subject: The user or the client that it stands for.
        scopes: What it may be used for: a collection of names, or one text with spaces.
        roles: What the bearer is, likewise.
        client_id: The OAuth client that got it.
        issuer: The authorization server that issued it.
        expires_at: In seconds since the epoch.
        claims: All its claims.
        is_client: Whether it stands for the client itself, and for no user (client credentials,
            RFC 6749, section 4.4).
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    client_id: str | None = None
    issuer: str | None = None
    expires_at: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_client: bool = False

    def __post_init__(self) -> None:
        for name in ("scopes", "roles"):
            given: Any = getattr(self, name)
            if not isinstance(given, frozenset):
                names = given.split() if isinstance(given, str) else given or ()
                object.__setattr__(self, name, frozenset(names))


tokens_of_tests: Final[dict[str, AccessToken]] = {}
"""Access tokens that the clients for tests have made of their own, by what they send for them: no
issuer has to be there for them. Only code of this process can put one here."""
