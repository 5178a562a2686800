"""Who calls, by what the request brings: access tokens (OAuth 2.1, RFC 9728) and API keys.

MCPServer("shop", auth=JWT("https://login.example.com"), resource="https://api.example.com/mcp")
"""

from mcp_mount.auth.api_keys import APIKey, APIKeys
from mcp_mount.auth.introspection import Introspection
from mcp_mount.auth.jwt import JWT
from mcp_mount.auth.verifiers import InvalidToken, TokenVerifier, Verifier
from mcp_mount.wire.tokens import AccessToken

__all__ = [
    "JWT",
    "APIKey",
    "APIKeys",
    "AccessToken",
    "Introspection",
    "InvalidToken",
    "TokenVerifier",
    "Verifier",
]
