"""The routes of a server itself: the MCP endpoint, and what it says of itself as a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from mcp_mount.transports.asgi import ASGITransport
from mcp_mount.transports.driving import follow_async
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    ISSUER_PATH,
    ClientLeft,
    Receive,
    Scope,
    Send,
    endpoint_url,
    is_refused,
    read_body,
    read_headers,
    request_of,
)
from mcp_mount.wire.messages import Reply
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, WELL_KNOWN

if TYPE_CHECKING:
    from mcp_mount.transports.threads import Runner

_MAX_FORM: Final = 64 * 1024
"""The largest form that is read, in bytes."""


class EndpointParts(Protocol):
    """What these routes need of the parts of a server."""

    mcp_path: str
    asgi_endpoint: ASGITransport
    resource_server: Any
    is_attached: bool

    def metadata_reply(self, method: str, url: str | None) -> Reply: ...

    def is_endpoint(self, scope: Mapping[str, Any]) -> bool: ...


class MetadataRoute(BaseRoute):
    """The metadata of the server as a protected resource: below the mount point, or at the root
    of a server that stands alone."""

    def __init__(self, server: EndpointParts) -> None:
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or self._server.resource_server is None:
            return Match.NONE, {}
        own = self._server.mcp_path
        places = [WELL_KNOWN]
        if not self._server.is_attached:
            # The second one is for a prefix that a proxy takes away.
            places += [WELL_KNOWN + own, own + WELL_KNOWN]
        return (Match.FULL if route_path(scope) in places else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = endpoint_url(scope, read_headers(scope))
        reply = self._server.metadata_reply(scope["method"], url)
        response = Response(reply.body, reply.status, dict(reply.headers))
        await response(scope, receive, send)


class EndpointRoute(BaseRoute):
    """The MCP endpoint among the routes, for requests that come through user middleware.

    What the host has refused comes here, too, wherever it was to go: no other route knows of that.
    """

    def __init__(self, server: EndpointParts) -> None:
        self._server = server

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and (self._server.is_endpoint(scope) or is_refused(scope))
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.asgi_endpoint(scope, receive, send)


class SignInRoute(BaseRoute):
    """The authorization server of a server with a `SignIn`."""

    def __init__(self, core: Any) -> None:
        self._core = core

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        sign_in = self._core.sign_in
        if scope["type"] != "http" or sign_in is None:
            return Match.NONE, {}
        path = route_path(scope)
        own = sign_in.path
        found = path == own or path.startswith(own + "/") or self._metadata_of(path) is not None
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Few servers have one, and it imports more than the others need.
        from mcp_mount.routes.signing_in import respond, server_metadata_reply, too_large

        core = self._core
        path, headers = route_path(scope), read_headers(scope)
        is_metadata = self._metadata_of(path) is not None
        try:
            body = await read_body(headers, receive, _MAX_FORM)
        except ClientLeft:
            return
        request = request_of(scope, headers, body or b"")
        if body is None:
            reply = too_large()
        elif is_metadata:
            asked = None if core.is_attached else self._metadata_of(path)
            reply = server_metadata_reply(core, request, scope.get(ISSUER_PATH, asked))
        else:
            query = scope.get("query_string", b"").decode("latin-1")
            runner: Runner = core.runner
            place = path[len(core.sign_in.path) :]
            reply = await follow_async(respond(core, request, place, query), runner)
        response = Response(reply.body, reply.status)
        response.raw_headers.extend(
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers
        )
        await response(scope, receive, send)

    def _metadata_of(self, path: str) -> str | None:
        """The path of the issuer whose metadata are at a path; None for any other path."""
        if path == AUTHORIZATION_SERVERS[0] or path.startswith(AUTHORIZATION_SERVERS[0] + "/"):
            return path[len(AUTHORIZATION_SERVERS[0]) :]
        return None
