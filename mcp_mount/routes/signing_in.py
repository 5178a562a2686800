"""The answers of a server's authorization server, for every host.

A host reads a request, and says where the MCP endpoint and the authorization server are; the rest
is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mcp_mount.auth.authorization.errors import OAuthError
from mcp_mount.auth.authorization.grants import canonical
from mcp_mount.auth.authorization.sign_in import SignIn
from mcp_mount.auth.authorization.web import Render, WebRequest
from mcp_mount.auth.resource_server import ResourceServer
from mcp_mount.calls.flows import Flow
from mcp_mount.protocol import Protocol as ProtocolCore
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Reply, Request
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, metadata_reply

logger = own_logger("mcp_mount.signin")


class SigningParts(Protocol):
    """What is needed of the parts of a server."""

    mcp_path: str
    is_attached: bool
    is_bare: bool
    protocol: ProtocolCore
    resource_server: ResourceServer | None
    sign_in: SignIn | None


def respond(
    core: SigningParts,
    request: Request,
    place: str,
    query: str,
    *,
    base: str | None = None,
    render: Render | None = None,
) -> Flow[Reply]:
    """Respond to a request below the path of a server's authorization server.

    Args:
        core: The parts of the server.
        request: The request, with its body. Its `url` is that of the MCP endpoint.
        place: The part of its path below the authorization server.
        query: Its query.
        base: The URL of the authorization server; by default it is below the mount point.
        render: Makes pages of the host's own templates.
    """
    sign_in = core.sign_in
    assert sign_in is not None, "the server has a SignIn"
    resource = _resource(core, request)
    if resource is None:
        return _unvouched()
    try:
        accounts = sign_in.accounts
    except DefinitionError as error:
        logger.error("%s", error)
        return _plain(503, "Nobody can sign in here yet: see the log of the server.")
    return (
        yield from sign_in.server.respond(
            WebRequest(
                method=request.method,
                place=place,
                query=query,
                headers=request.headers,
                body=request.body,
                base=base_of(core, resource) if base is None else canonical(base),
                resource=resource,
                issuer=sign_in.issuer_at(resource),
                accounts=accounts,
                host_request=request.host_request(),
                address=request.address,
                render=sign_in.render or render or _built_in,
            )
        )
    )


def server_metadata_reply(
    core: SigningParts, request: Request, place: str, *, base: str | None = None
) -> Reply:
    """The reply to a request for the metadata of the authorization server (RFC 8414).

    Args:
        core: The parts of the server.
        request: The request. Its `url` is that of the MCP endpoint.
        place: What is asked for: the well-known path, and the path of an issuer behind it, as at
            the root; without one it is whichever issuer there is, as below the mount point.
        base: The URL of the authorization server; by default it is below the mount point.
    """
    sign_in = core.sign_in
    resource = None if sign_in is None else _resource(core, request)
    if sign_in is None or resource is None:
        return metadata_reply(request.method, None)
    issuer = sign_in.issuer_at(resource)
    own = "/".join(["", *issuer.split("/")[3:]]).rstrip("/")
    kind = next(one for one in AUTHORIZATION_SERVERS if place.startswith(one))
    asked = place.removeprefix(kind)
    # Where nobody serves documents at the root, one below the path of the issuer is the last that
    # clients look for, by the name that OpenID Connect has for it (RFC 8414, section 5).
    is_served = kind == AUTHORIZATION_SERVERS[0] or (bool(own) and not asked)
    if not is_served or (asked and own != asked.rstrip("/")):
        return metadata_reply(request.method, None)
    base = base_of(core, resource) if base is None else canonical(base)
    return metadata_reply(request.method, sign_in.server.metadata(issuer, base))


def too_large() -> Reply:
    """The reply to a request whose body is not read, in the words of OAuth: with others, clients
    open a browser."""
    return OAuthError("invalid_request", "The request is too large", status=413).reply()


def base_of(core: SigningParts, resource: str) -> str:
    """The URL of the authorization server of the MCP endpoint at a URL.

    Args:
        core: The parts of the server.
        resource: The URL of the MCP endpoint.
    """
    assert core.sign_in is not None, "the server has a SignIn"
    outer = resource.rstrip("/")
    is_mounted = core.is_attached or core.is_bare
    return (outer if is_mounted else outer.removesuffix(core.mcp_path)) + core.sign_in.path


def _built_in(name: str, values: Mapping[str, Any]) -> None:
    """No template of the application's: the built-in pages are used."""


def _resource(core: SigningParts, request: Request) -> str | None:
    """The URL of the MCP endpoint, if somebody vouches for its host name: anybody can write a Host
    header, and codes and tokens would be for that."""
    resource_server = core.resource_server
    if resource_server is not None and resource_server.resource is not None:
        return resource_server.resource
    url = request.url()
    if url is None or not core.protocol.settings.vouches_for(url, request):
        return None
    # In the form that the issuer has: clients compare the origins of the two.
    return canonical(url)


def _unvouched() -> Reply:
    return _plain(
        400,
        "Nobody vouches for this host name: give MCPServer its allowed_hosts=, or resource= (the "
        "URL of the MCP endpoint).",
    )


def _plain(status: int, words: str) -> Reply:
    headers = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]
    return Reply(status, f"{words}\n".encode(), headers)
