"""What the authorization server says of itself (RFC 8414)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcp_mount.auth.authorization.clients import GRANTS


def server_metadata(
    issuer: str, base: str, scopes: Sequence[str], *, registers: bool, reads_documents: bool
) -> dict[str, Any]:
    """The metadata document.

    Args:
        issuer: The issuer, a URL without query and fragment.
        base: The URL below which the endpoints are.
        scopes: The scopes that there are.
        registers: Whether clients may register themselves.
        reads_documents: Whether clients may publish their metadata.
    """
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        # RFC 9207: a client that talks to several servers sees which one answers.
        "authorization_response_iss_parameter_supported": True,
    }
    if reads_documents:
        document["client_id_metadata_document_supported"] = True
    if registers:
        document["registration_endpoint"] = f"{base}/register"
    if scopes:
        document["scopes_supported"] = list(scopes)
    return document
