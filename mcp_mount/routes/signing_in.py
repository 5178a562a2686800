"""The routes of a server's authorization server: below the mount point, and its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from mcp_mount.transports.driving import follow_async
from mcp_mount.transports.paths import route_path
from mcp_mount.transports.scopes import (
    ISSUER_PATH,
    ClientLeft,
    Receive,
    Scope,
    Send,
    read_body,
    read_headers,
    request_of,
)
from mcp_mount.wire.messages import Reply
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS

if TYPE_CHECKING:
    from mcp_mount.transports.threads import Runner

_MAX_BODY: Final = 64 * 1024


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
        from mcp_mount.hosting.signing_in import respond, server_metadata_reply

        core = self._core
        path, headers = route_path(scope), read_headers(scope)
        is_metadata = self._metadata_of(path) is not None
        try:
            body = await read_body(headers, receive, _MAX_BODY)
        except ClientLeft:
            return
        request = request_of(scope, headers, body or b"")
        if body is None:
            reply = Reply.of_json(413, b'{"detail":"Content Too Large"}')
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
