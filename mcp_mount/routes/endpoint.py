"""The routes of a server itself: the MCP endpoint, and what it says of itself as a resource."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from mcp_mount.transports.asgi import ASGITransport
from mcp_mount.transports.driving import follow_async
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    RUNNER,
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
from mcp_mount.wire.resource_metadata import ALIASES, AUTHORIZATION_SERVERS, WELL_KNOWN

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
        places = [WELL_KNOWN, f"{WELL_KNOWN}/"]
        if not self._server.is_attached:
            # The last ones are for a prefix that a proxy takes away.
            places += [WELL_KNOWN + own, f"{WELL_KNOWN}{own}/"]
            places += [own + WELL_KNOWN, f"{own}{WELL_KNOWN}/"]
        return (Match.FULL if route_path(scope) in places else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = endpoint_url(scope, read_headers(scope))
        if url is not None and scope["path"].endswith("/"):
            url += "/"
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

    def __init__(self, core: Any, routes: Callable[[], Sequence[BaseRoute]]) -> None:
        self._core = core
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or self._core.sign_in is None:
            return Match.NONE, {}
        found = self._metadata_of(scope) or self._page_of(scope) is not None
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Few servers have one, and it imports more than the others need.
        from mcp_mount.routes.signing_in import respond, server_metadata_reply, too_large

        core = self._core
        headers = read_headers(scope)
        place = self._metadata_of(scope)
        try:
            body = await read_body(headers, receive, _MAX_FORM)
        except ClientLeft:
            return
        request = request_of(scope, headers, body or b"")
        if body is None:
            reply = too_large()
        elif place is not None:
            reply = server_metadata_reply(core, request, place)
        else:
            query = scope.get("query_string", b"").decode("latin-1")
            runner: Runner = scope.get(RUNNER, core.runner)
            if core.gives_environ:
                # As to handlers and rules, in front of a WSGI application.
                request.host_request = lambda: scope["wsgi_environ"]
            page = self._page_of(scope) or ""
            reply = await follow_async(respond(core, request, page, query), runner)
        # Starlette adds the length of the body, if there is none.
        response = Response(reply.body, reply.status, dict(reply.headers))
        await response(scope, receive, send)

    def _metadata_of(self, scope: Scope) -> str | None:
        """The metadata that are asked for: see `server_metadata_reply`; None for anything else."""
        path = route_path(scope)
        if not self._core.is_attached:
            # Below the path of the issuer, where a proxy takes a prefix away.
            path = path.removeprefix(self._core.mcp_path) or path
        if any(path == one or path.startswith(f"{one}/") for one in AUTHORIZATION_SERVERS):
            return path
        return None

    def _page_of(self, scope: Scope) -> str | None:
        """The part of a path below the authorization server; None for one that is not."""
        path: str = route_path(scope)
        own: str = self._core.sign_in.path
        if path == own or path.startswith(f"{own}/"):
            return path[len(own) :]
        if path in ALIASES and not scope["mcp_mount.mounted"] and not scope.get("root_path"):
            return path if not has_own(self._routes(), scope, but=(self,)) else None
        return None


def has_own(routes: Iterable[BaseRoute], scope: Scope, *, but: Collection[BaseRoute]) -> bool:
    """Whether some routes have one for the path of a request, and not just for all paths.

    Args:
        routes: The routes.
        scope: The scope of the request.
        but: Routes that do not count.
    """
    elsewhere = {**scope, "path": f"{scope['path']}-of-nobody"}
    return any(
        route.matches(scope)[0] is not Match.NONE and route.matches(elsewhere)[0] is Match.NONE
        for route in routes
        if route not in but
    )
