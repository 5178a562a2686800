"""The metadata of a protected resource: where they are, and how they are served (RFC 9728)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

from mcp_mount.protocol.messages import JSON, Reply

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata are, before the path of the resource (section 3)."""

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
