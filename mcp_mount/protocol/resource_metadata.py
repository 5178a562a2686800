"""The metadata of a protected resource: where they are, and how they are served (RFC 9728)."""

from __future__ import annotations

from typing import Final

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata are, before the path of the resource (section 3)."""

METADATA_HEADERS: Final = {
    # Clients in browsers read them before they have any credentials.
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "mcp-protocol-version",
    "cache-control": "public, max-age=300",
}
