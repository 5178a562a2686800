"""Who calls, by what the request brings: access tokens (OAuth 2.1, RFC 9728) and API keys; and
`SignIn`, which issues access tokens to people with the application's own accounts.

MCPServer("shop", auth=JWT("https://login.example.com"), resource="https://api.example.com/mcp")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.auth.api_keys import APIKey, APIKeys
from mcp_mount.auth.introspection import Introspection
from mcp_mount.auth.jwt import JWT
from mcp_mount.auth.verifiers import InvalidToken, TokenVerifier, Verifier
from mcp_mount.wire.tokens import AccessToken

if TYPE_CHECKING:
    from mcp_mount.auth.authorization.accounts import Person
    from mcp_mount.auth.authorization.configured_clients import Client
    from mcp_mount.auth.authorization.connections import Connection, ConnectionStore
    from mcp_mount.auth.authorization.enterprise import IDJAG
    from mcp_mount.auth.authorization.events import SignInEvent
    from mcp_mount.auth.authorization.sign_in import SignIn

_WHEN_ASKED: Final = {
    "Client": "mcp_mount.auth.authorization.configured_clients",
    "Connection": "mcp_mount.auth.authorization.connections",
    "ConnectionStore": "mcp_mount.auth.authorization.connections",
    "IDJAG": "mcp_mount.auth.authorization.enterprise",
    "Person": "mcp_mount.auth.authorization.accounts",
    "SignIn": "mcp_mount.auth.authorization.sign_in",
    "SignInEvent": "mcp_mount.auth.authorization.events",
}
"""Names that an application does without if nobody signs in to it, as in `mcp_mount`."""

__all__ = [
    "IDJAG",
    "JWT",
    "APIKey",
    "APIKeys",
    "AccessToken",
    "Client",
    "Connection",
    "ConnectionStore",
    "Introspection",
    "InvalidToken",
    "Person",
    "SignIn",
    "SignInEvent",
    "TokenVerifier",
    "Verifier",
]


if not TYPE_CHECKING:
    # Type checkers would take any name for one that is there.
    def __getattr__(name: str) -> Any:
        module = _WHEN_ASKED.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(module), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
