"""Signing in at a server: what connects its `SignIn` with the host and with its requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcp_mount.auth.authorization.consent import ScopeTool
from mcp_mount.auth.authorization.sign_in import SignIn, Site
from mcp_mount.auth.authorization.web import Render, WebRequest
from mcp_mount.calls.flows import Flow
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.messages import Reply, Request
from mcp_mount.wire.resource_metadata import metadata_reply
from mcp_mount.wire.rules import scopes_of

if TYPE_CHECKING:
    from mcp_mount.hosting.core import ServerCore


def sign_in_of(auth: Sequence[Any], core: ServerCore) -> SignIn | None:
    """The `SignIn` among the verifiers of a server, which serves that server from now on.

    Args:
        auth: The verifiers.
        core: The parts of the server.

    Raises:
        DefinitionError: For two of them, and for one that serves another server.
    """
    found = [one for one in auth if isinstance(one, SignIn)]
    if len(found) > 1:
        raise DefinitionError("auth= has two SignIn: a server has one")
    for one in found:
        one.serve(
            Site(
                keys=core.secret_keys,
                name=lambda: core.protocol.settings.name,
                title=lambda: core.protocol.settings.display_name or core.protocol.settings.name,
                accounts=lambda: core.host.accounts(),
                tools=lambda scope: list(_tools(core, scope)),
                limiter=lambda: core.store.limits("fixed-window").limiter,
                has_origin=lambda path: (
                    core.host.serves_issuer(path) if core.is_attached else path == core.mcp_path
                ),
            )
        )
        return one
    return None


def _tools(core: ServerCore, scope: str) -> Iterator[ScopeTool]:
    """The tools that a scope opens."""
    for tool in core.registry.tools.values():
        if scope in scopes_of(tool.rules):
            hints = tool.members.get("annotations") or {}
            title = tool.members.get("title") or hints.get("title") or tool.name
            # The specification's defaults: a tool that says nothing may write, and may destroy.
            reads = hints.get("readOnlyHint", False)
            yield ScopeTool(title, not reads and hints.get("destructiveHint", True))


def respond(
    core: ServerCore,
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
    return (
        yield from sign_in.server.respond(
            WebRequest(
                method=request.method,
                place=place,
                query=query,
                headers=request.headers,
                body=request.body,
                base=base_of(core, resource) if base is None else base,
                resource=resource,
                issuer=sign_in.issuer_at(resource),
                accounts=sign_in.accounts,
                host_request=request.host_request(),
                address=request.address,
                render=sign_in.render or render or _built_in,
            )
        )
    )


def server_metadata_reply(
    core: ServerCore, request: Request, path: str | None, *, base: str | None = None
) -> Reply:
    """The reply to a request for the metadata of the authorization server (RFC 8414).

    Args:
        core: The parts of the server.
        request: The request. Its `url` is that of the MCP endpoint.
        path: The path of the issuer that is asked for, behind the well-known one: "" for the
            origin; None for whichever there is, as below the mount point.
        base: The URL of the authorization server; by default it is below the mount point.
    """
    sign_in = core.sign_in
    resource = None if sign_in is None else _resource(core, request)
    if sign_in is None or resource is None:
        return metadata_reply(request.method, None)
    issuer = sign_in.issuer_at(resource)
    own = "/".join(["", *issuer.split("/")[3:]])
    if path is not None and own.rstrip("/") != path.rstrip("/"):
        return metadata_reply(request.method, None)
    base = base_of(core, resource) if base is None else base
    return metadata_reply(request.method, sign_in.server.metadata(issuer, base))


def base_of(core: ServerCore, resource: str) -> str:
    """The URL of the authorization server of the MCP endpoint at a URL.

    Args:
        core: The parts of the server.
        resource: The URL of the MCP endpoint.
    """
    assert core.sign_in is not None, "the server has a SignIn"
    outer = resource.rstrip("/")
    return (outer if core.is_attached else outer.removesuffix(core.mcp_path)) + core.sign_in.path


def _built_in(name: str, values: Mapping[str, Any]) -> None:
    """No template of the application's: the built-in pages are used."""


def _resource(core: ServerCore, request: Request) -> str | None:
    """The URL of the MCP endpoint, if somebody vouches for its host name: anybody can write a Host
    header, and codes and tokens would be for that."""
    resource_server = core.resource_server
    if resource_server is not None and resource_server.resource is not None:
        return resource_server.resource
    url = request.url()
    if url is None or not core.protocol.settings.vouches_for(url, request):
        return None
    return url


def _unvouched() -> Reply:
    body = (
        b"Nobody vouches for this host name: give MCPServer its allowed_hosts=, or resource= (the "
        b"URL of the MCP endpoint).\n"
    )
    return Reply(400, body, [("content-type", "text/plain; charset=utf-8")])
