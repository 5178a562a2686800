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


def discovery_path(path: str, mount: str, *, has_servers: bool) -> str | None:
    """What a request for the metadata of a server is within it; None for any other request.

    Clients look for these outside of the mount point, and a page of the host's, with status 200,
    would be the end of it for them.

    Args:
        path: That of the request.
        mount: Where the server is mounted.
        has_servers: Whether its tokens are of authorization servers, which may be the host itself.
    """
    for place in (WELL_KNOWN,) if has_servers else (WELL_KNOWN, *AUTHORIZATION_SERVERS):
        if path == place + mount:
            return place
    return None


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
        return Reply.of_json(404, b'{"detail":"Not Found"}')
    if method not in ("GET", "HEAD", "OPTIONS"):
        reply = Reply.of_json(405, b'{"detail":"Method Not Allowed"}')
        reply.headers.append(("allow", "GET"))
        return reply
    return Reply(200, b"" if method == "HEAD" else to_json(document), list(_HEADERS))
