"""What the authorization server says of itself (RFC 8414)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mcp_mount.auth.authorization.clients import GRANTS
from mcp_mount.auth.authorization.configured_clients import JWT_BEARER
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.signing_keys import ASYMMETRIC

ID_JAG: Final = "urn:ietf:params:oauth:grant-profile:id-jag"


def server_metadata(issuer: str, base: str, options: SignInOptions) -> dict[str, Any]:
    """The metadata document.

    Args:
        issuer: The issuer, a URL without query and fragment.
        base: The URL below which the endpoints are.
        options: What the application's owner has chosen.
    """
    methods = _methods_of(options)
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants_of(options),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        # RFC 9207: a client that talks to several servers sees which one answers.
        "authorization_response_iss_parameter_supported": True,
    }
    if "private_key_jwt" in methods:
        for endpoint in ("token", "revocation"):
            document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(ASYMMETRIC)
    if options.enterprise:
        document["authorization_grant_profiles_supported"] = [ID_JAG]
    if options.reads_documents:
        document["client_id_metadata_document_supported"] = True
    if options.registers:
        document["registration_endpoint"] = f"{base}/register"
    if options.scopes:
        document["scopes_supported"] = list(options.scopes)
    return document


def grants_of(options: SignInOptions) -> Sequence[str]:
    """How tokens can be had.

    Args:
        options: What the application's owner has chosen.
    """
    found = list(GRANTS)
    if any("client_credentials" in one.grants for one in options.clients.values()):
        found.append("client_credentials")
    if options.enterprise:
        found.append(JWT_BEARER)
    return found


def _methods_of(options: SignInOptions) -> list[str]:
    """How clients authenticate. "none" is always there: Claude publishes its metadata only then."""
    clients = options.clients.values()
    found = ["none"]
    if options.verifies_keys or any(one.keys is not None for one in clients):
        # Clients with documents, such as ChatGPT's, sign wherever this is listed.
        found.append("private_key_jwt")
    if any(one.is_confidential and one.keys is None for one in clients):
        found += ["client_secret_basic", "client_secret_post"]
    return found
