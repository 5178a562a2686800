"""Sealed tokens: state that a client carries for us, which nobody else can make or change.

Session ids are tokens of this kind, so that every worker that has the key serves every client.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import inf
from typing import Any, Final

from itsdangerous import BadData, BadSignature, URLSafeTimedSerializer

from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

MAX_TOKEN: Final = 4096
"""The largest token made, in characters: header lines stay under 8 KiB at most proxies."""

FORMAT: Final = 1
"""The form of the claims of all purposes; another number after each change of one of them."""

MAX_AHEAD: Final = 60.0
"""How far ahead the clock of the machine may be that has sealed what gives access, in seconds."""

CLOCKS_APART: Final = 1800.0
"""How far the clocks of two machines may be apart for all else, in seconds."""

Keys = Callable[[], Sequence[str | bytes]]


class TokenRefused(Exception):
    """A token that this server did not seal here, that this version cannot read, or that has
    expired."""


class TokenSealer:
    """Seals and opens tokens of one purpose with the server's secret keys.

    Args:
        purpose: Such as "session"; a token of another purpose is refused.
        keys: Returns the keys, the oldest first: the last one seals, all of them open (rotation).
            It is called at the first use, when the host has its configuration. Without any key a
            random one serves this process alone.
        server: Returns the name of the server that the tokens are of: several may have the same
            keys.
        max_length: The longest token, in characters.
        ahead: How far ahead the clock of the machine may be that has sealed a token, in seconds.
    """

    def __init__(
        self,
        purpose: str,
        keys: Keys,
        *,
        server: Callable[[], str] = str,
        max_length: int = MAX_TOKEN,
        ahead: float = MAX_AHEAD,
    ) -> None:
        self._purpose = purpose
        self._ahead = ahead
        self._server = server
        self._max_length = max_length
        self._keys = keys
        self._own_key = secrets.token_urlsafe(32)
        self._signer: URLSafeTimedSerializer | None = None
        self._alone = False

    def seal(self, claims: Any, *, mount: str = "") -> str:
        """Sign claims, and return them as a URL-safe token.

        Args:
            claims: JSON-serialisable data; they are signed, not encrypted.
            mount: The mount point at which the token is good.

        Raises:
            ValueError: If the token would be longer than `max_length`.
        """
        token = str(self._serializer().dumps([FORMAT, self._place(mount), claims]))
        if len(token) > self._max_length:
            raise ValueError(f"the token would have {len(token)} characters")
        return token

    def open(self, token: str, *, ttl: float, mount: str = "") -> tuple[Any, float]:
        """Verify a token.

        Args:
            token: The token.
            ttl: How old it may be, in seconds; `math.inf` for any age.
            mount: The mount point at which it was sealed.

        Returns:
            Its claims, and when it was sealed, in seconds since the epoch.

        Raises:
            TokenRefused: If it was not sealed here, is of another mount point, or has expired.
        """
        if len(token) > self._max_length:
            raise TokenRefused("too long")
        try:
            # Without max_age, which refuses what another machine has sealed whose clock is ahead.
            sealed, sealed_at = self._serializer().loads(token, return_timestamp=True)
        except BadSignature:
            # A compressed one has a dot in front of its three parts.
            if self._alone and token.removeprefix(".").count(".") == 2:
                logger.warning(
                    "A %s token was sealed by another process. This server has no secret key, so "
                    "it can only run in one process and forgets its clients at a restart: give "
                    "MCPServer a secret_key (or set MCP_MOUNT_SECRET_KEY; in Flask and Django, the "
                    "application's own SECRET_KEY).",
                    self._purpose,
                )
            raise TokenRefused("not sealed here") from None
        except (BadData, ValueError, RecursionError):
            raise TokenRefused("unreadable") from None
        age = int(time.time()) - sealed_at.timestamp()
        # What never expires has no use for the clocks of two machines.
        if ttl != inf and not -self._ahead <= age <= ttl:
            raise TokenRefused("expired")
        if not isinstance(sealed, list) or len(sealed) != 3 or sealed[0] != FORMAT:
            # Of an older version, or of a newer one while workers are replaced one by one.
            raise TokenRefused("of another version")
        if sealed[1] != self._place(mount):
            raise TokenRefused("not sealed here")
        return sealed[2], sealed_at.timestamp()

    def _place(self, mount: str) -> str:
        """Identifies a server at its mount point, in all of its processes."""
        return sha256(f"{self._server()}\n{mount}".encode("utf-8", "surrogatepass")).hexdigest()[
            :16
        ]

    def _serializer(self) -> URLSafeTimedSerializer:
        if self._signer is None:
            # What a variable of the environment holds need not be UTF-8: Python reads such bytes as
            # lone surrogates (PEP 383), which only this handler writes all of.
            keys = [
                key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
                for key in self._keys()
                if key
            ]
            self._alone = not keys
            self._signer = URLSafeTimedSerializer(
                keys or [self._own_key.encode()],
                salt=f"mcp-mount.{self._purpose}",
                signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
            )
        return self._signer
