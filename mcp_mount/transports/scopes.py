"""From an ASGI scope to the protocol's `Request`: headers, body, caller, URL.

Also the keys under which parts of this library pass values to one another in a scope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

from starlette.authentication import AuthCredentials, BaseUser
from starlette.requests import Request as StarletteRequest

from mcp_mount.wire.messages import Request
from mcp_mount.wire.tokens import AccessToken

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_DRAINED: Final = 16 * 1024 * 1024
"""How much of a body that is too large is read before the client hears so."""

HOST_APP: Final = "mcp_mount.app"
"""The key of a scope under which a server notes the application that it is mounted in, or itself
where it stands alone."""

SERVER: Final = "mcp_mount.server"
"""The key of a scope under which a server notes itself."""

LOOP: Final = "mcp_mount.loop"
"""The key of a scope under which a server notes its event loop, where rules need it: they are asked
on a thread then."""

GRANTED: Final = "mcp_mount.granted"
"""The key of a scope under which rules keep what they have found out about a request."""

RUNNER: Final = "mcp_mount.runner"
"""The key of a scope under which a bridge passes the `Runner` for this request."""

WAITING: Final = "mcp_mount.waiting"
"""The key of a scope under which a bridge passes how many requests may wait on its server."""

ENDPOINT: Final = "mcp_mount.endpoint"
"""The key of a scope, or of a WSGI environment, under which a server passes the path of its MCP
endpoint."""

BARE: Final = "mcp_mount.bare"
"""The key of a scope under which a server notes that an application has mounted it by itself, which
redirects requests to the path with a slash."""

HOST_REQUEST: Final = "mcp_mount.request"
"""The key of a scope, or of a WSGI environment, under which an integration passes a `Request`
that knows the framework's own request and its caller."""

RESUMED: Final = "mcp_mount.resumed"
"""The key of a scope, or of a WSGI environment, under which a short way that has run the model of a
request passes to the long way what goes on with that."""

ROOT: Final = "mcp_mount.root"
"""The key of a scope under which a server notes its own root path: within a mount of its own the
scope has another one."""

HOST_PREFIX: Final = "mcp_mount.host_prefix"
"""The key of a scope, or of a WSGI environment, under which a mount beside passes the prefix of
the application around it; the server's own prefix is that and the path of the mount."""


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


def _known(scope: Scope) -> Request | None:
    found: Request | None = scope.get(HOST_REQUEST) or scope.get("wsgi_environ", {}).get(
        HOST_REQUEST
    )
    return found


def is_refused(scope: Scope) -> bool:
    """Whether the host has refused a request already, and only middleware is to see it."""
    known = _known(scope)
    return known is not None and known.refused is not None


def request_of(scope: Scope, headers: dict[str, str], body: bytes = b"") -> Request:
    """The request in a scope. If a shim has put one there, it knows the host and the caller."""
    known = _known(scope)
    if known is not None:
        return replace(
            known,
            method=scope["method"],
            headers=headers,
            body=body,
            max_blocking=scope.get(WAITING, known.max_blocking),
        )
    scoped = partial(has_scope, scope) if "auth" in scope else None
    client = scope.get("client")
    return Request(
        scope["method"],
        headers,
        body,
        partial(own_request, scope),
        scope.get(WAITING),
        caller=partial(caller_of, scope),
        has_permission=scoped,
        has_scope=scoped,
        has_role=partial(has_role, scope),
        url=partial(endpoint_url, scope, headers),
        address=None if client is None else client[0],
        server=scope.get("server"),
        stands_alone=not scope.get("mcp_mount.mounted", True) and not scope.get("root_path"),
        mount=scope.get(ENDPOINT, scope.get("root_path", "")),
        on_token=partial(note_token, scope),
        may_block=LOOP in scope,
    )


def own_request(scope: Scope) -> StarletteRequest:
    """The request of a scope, as handlers and rules get it: its `app` is the user's own, the one
    that the server is mounted in, whatever stands between."""
    host = scope.get(HOST_APP)
    if host is None or host is scope.get("app"):
        return StarletteRequest(scope)
    # What is kept in `request.state` is for all of them.
    scope.setdefault("state", {})
    scope.setdefault(GRANTED, {})
    return StarletteRequest({**scope, "app": host})


def note_token(scope: Scope, token: AccessToken, user: Any) -> None:
    """Let the host's own request know its caller: before rules and `caller=` look at it."""
    scope["auth"] = AuthCredentials(sorted(token.scopes))
    scope["user"] = TokenUser(token) if user is None else user


def has_scope(scope: Scope, name: str) -> bool:
    """Whether a request has one of the scopes of Starlette's AuthenticationMiddleware."""
    return name in scope["auth"].scopes


def has_role(scope: Scope, name: str) -> bool:
    """Whether the user of a request has a role, if the application's users have such."""
    return name in (getattr(scope.get("user"), "roles", None) or ())


class TokenUser(BaseUser):
    """The bearer of an access token, as `request.user`."""

    def __init__(self, token: AccessToken) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.token.subject

    @property
    def identity(self) -> str:
        return self.token.subject


def endpoint_url(scope: Scope, headers: dict[str, str]) -> str | None:
    """The URL of the MCP endpoint, as the client of a request wrote it."""
    host = headers.get("host")
    if not host:
        return None
    path = scope.get(ENDPOINT, scope.get("root_path", ""))
    if path and scope["path"] == f"{path}/" and not scope.get(BARE):
        # Clients compare it with what they were given.
        path += "/"
    return f"{scope.get('scheme', 'http')}://{host}{path}"


def caller_of(scope: Scope) -> str | None:
    """The user of a request, as Starlette's AuthenticationMiddleware leaves them in its scope."""
    user: Any = scope.get("user")
    if not getattr(user, "is_authenticated", False):
        return None
    try:
        return str(user.identity)
    except (AttributeError, NotImplementedError):
        # Not every kind of user has one.
        return str(user.display_name)


def read_headers(scope: Scope) -> dict[str, str]:
    """The headers of a scope, for `Request`; servers differ in the white space they leave."""
    pairs = [
        (name.decode("latin-1"), value.decode("latin-1").strip(" \t"))
        for name, value in scope["headers"]
    ]
    headers = dict(pairs)
    if len(headers) < len(pairs):
        for repeated in headers:
            headers[repeated] = ", ".join(value for name, value in pairs if name == repeated)
    return headers


async def read_body(headers: Mapping[str, str], receive: Receive, limit: int) -> bytes | None:
    """The whole body.

    A body that exceeds the limit is read all the same, up to `MAX_DRAINED` bytes, and dropped: many
    clients do not see the response of a server that closes the connection meanwhile.

    Args:
        headers: The headers of the request.
        receive: ASGI's.
        limit: In bytes.

    Returns:
        The body; None if it exceeds the limit.

    Raises:
        ClientLeft: If the client left before the end.
    """
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        if "expect" not in headers:
            await _drain(receive)
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if size + len(chunk) > limit:
                return None  # All of it has been read.
            return b"".join((*chunks, chunk)) if chunks else chunk
        size += len(chunk)
        if size > limit:
            await _drain(receive)
            return None
        chunks.append(chunk)


async def _drain(receive: Receive) -> None:
    left = MAX_DRAINED
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
