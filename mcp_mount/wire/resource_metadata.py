"""The metadata of a protected resource: where they are, and how they are served (RFC 9728)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

from mcp_mount.wire.messages import JSON, Reply

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata are, before the path of the resource (section 3)."""

AUTHORIZATION_SERVERS: Final = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
)
"""Where clients look for the metadata of an authorization server, before the path of a resource
that has none (basic/authorization, "Authorization Server Metadata Discovery")."""


ALIASES: Final = ("/authorize", "/token", "/register", "/revoke")
"""Where some clients look for the endpoints of an authorization server: at the origin, whatever its
metadata say (2025-03-26, "Fallbacks for Servers without Metadata Discovery")."""

_HEADERS: Final = (
    ("content-type", JSON),
    # Clients in browsers read them before they have any credentials.
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET"),
    ("access-control-allow-headers", "mcp-protocol-version"),
    ("cache-control", "public, max-age=300"),
)


def metadata_reply(method: str, document: Mapping[str, Any] | None) -> Reply:
    """The reply to a request for metadata; there are none if the document is None."""
    if document is None:
        reply = Reply.of_json(404, b'{"detail":"Not Found"}')
        # Clients in browsers must see the status, to look elsewhere.
        reply.headers.append(_HEADERS[1])
        return reply
    if method not in ("GET", "HEAD", "OPTIONS"):
        reply = Reply.of_json(405, b'{"detail":"Method Not Allowed"}')
        reply.headers.append(("allow", "GET"))
        return reply
    reply = Reply(200, to_json(document), list(_HEADERS))
    return reply.without_body() if method == "HEAD" else reply
