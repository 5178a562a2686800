"""What a server answers at the root of its host, outside of its mount point.

These are metadata, where clients look for them (RFC 9728, RFC 8414), and the endpoints of its
authorization server, where some clients look for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mcp_mount.wire.resource_metadata import ALIASES, AUTHORIZATION_SERVERS, WELL_KNOWN

if TYPE_CHECKING:
    from mcp_mount.auth.authorization.sign_in import SignIn
    from mcp_mount.auth.resource_server import ResourceServer


class RootParts(Protocol):
    """What is needed of the parts of a server."""

    resource_server: ResourceServer | None
    sign_in: SignIn | None


def may_be_at_root(path: str) -> bool:
    """Whether a path is one of those that a server may answer at the root.

    Args:
        path: The path.
    """
    return path.startswith("/.well-known/") or path in ALIASES


def place_below(
    core: RootParts, path: str, mount: str, *, has_origin: bool, is_only: bool
) -> str | None:
    """The place below its mount point at which a server answers a request at the root.

    Args:
        core: The parts of the server.
        path: The path of the request.
        mount: The path of the mount point.
        has_origin: Whether the issuer of the server's own authorization server is the origin.
        is_only: Whether no other server there takes tokens of authorization servers.

    Returns:
        The place; None for a request that is not for the server.
    """
    resource = core.resource_server
    if resource is None:
        return None
    for place in (WELL_KNOWN, *AUTHORIZATION_SERVERS):
        if path.rstrip("/") == place + mount:
            if place == WELL_KNOWN:
                return place + path[len(place + mount) :]
            # Where the tokens are of other authorization servers, one may be the host itself.
            has_others = resource.has_servers and core.sign_in is None
            return None if has_others else path
    if path == WELL_KNOWN:
        return path if is_only and resource.has_servers else None
    if core.sign_in is None or not has_origin:
        return None
    if path in AUTHORIZATION_SERVERS:
        return path
    return core.sign_in.path + path if path in ALIASES else None
