"""The gate before our HTTP routes: the checks that the MCP endpoint makes of every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import HTTPException, Request

from mcp_mount.calls.catalogue import Catalogue
from mcp_mount.calls.exception_hooks import NO_HOOKS, ExceptionHooks
from mcp_mount.calls.incoming import ClientInfo, IncomingRequest
from mcp_mount.protocol import Protocol, ProtocolError
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.protocol.exchange import check_rules, error_reply
from mcp_mount.protocol.settings import MAX_BODY_BYTES
from mcp_mount.routes.parts import parts_of, protocol_of
from mcp_mount.transports.driving import follow_async
from mcp_mount.transports.scopes import (
    HOST_REQUEST,
    RUNNER,
    ClientLeft,
    read_body,
    read_headers,
    request_of,
)
from mcp_mount.transports.threads import PLAIN, Runner, off_loop
from mcp_mount.wire.messages import JSON, Rule
from mcp_mount.wire.revisions import LATEST

FORM: Final = "multipart/form-data"


async def gate(request: Request) -> None:
    """Refuse requests that the MCP endpoint would refuse, and bodies that a cross-site form could
    send.

    Use it as a FastAPI dependency.

    Args:
        request: The request.

    Raises:
        HTTPException: 401, 403, 415 or 421.
    """
    await _admit(request, (JSON,))


async def form_gate(request: Request) -> None:
    """Refuse requests as `gate` does, but for forms with files.

    A form of another site comes with its Origin, which is refused.

    Args:
        request: The request.

    Raises:
        HTTPException: As `gate`.
    """
    await _admit(request, (JSON, FORM))


async def _admit(request: Request, media_types: Sequence[str]) -> None:
    own = await known(request)
    server: Protocol | None = protocol_of(request)
    if server is not None:
        try:
            server.check_origin(own)
            if server.settings.rules:
                await checked(request, partial(server.check_caller, own))
            if server.settings.callers.function is not None:
                await checked(request, partial(server.settings.callers.key_of, own))
                # The policies of this request, which are driven on a loop, find it there.
                request.scope[HOST_REQUEST] = own
        except ProtocolError as error:
            raise http_error(server, error, own) from None
    media_type = own.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == FORM and server is None and _is_of_another_site(own):
        raise HTTPException(403, "Forms of other sites are refused: send JSON")
    if request.method == "POST" and media_type not in media_types:
        raise HTTPException(415, f"The Content-Type must be {' or '.join(media_types)}")


class ReadRequest(Request):
    """A request whose body has been read.

    Attributes:
        known: The request as the protocol knows it, once it has been checked.
    """

    def __init__(
        self, request: Request, body: bytes, unchecked: ProtocolRequest | None = None
    ) -> None:
        """Take over a request.

        Args:
            request: The request.
            body: Its body.
            unchecked: The request as the protocol knows it before it has been checked, if that has
                been read.
        """
        super().__init__(request.scope, request.receive)
        self.known: ProtocolRequest | None = None
        self.unchecked = unchecked
        self._read = body

    async def body(self) -> bytes:
        return self._read


async def known(request: Request) -> ProtocolRequest:
    """A request as the protocol knows it, with its caller.

    Args:
        request: The request.

    Raises:
        HTTPException: 401, 403 or 503, if the server authenticates callers and refuses this one.
    """
    own = None
    if isinstance(request, ReadRequest):
        if request.known is not None:
            return request.known
        own = request.unchecked
    if own is None:
        own = request_of(request.scope, read_headers(request.scope))
    server: Protocol | None = protocol_of(request)
    if server is not None and server.settings.auth is not None and own.token is None:
        try:
            server.check_origin(own)
            await follow_async(server.settings.auth.admit(own), runner_of(request))
        except ProtocolError as error:
            raise http_error(server, error, own) from None
        # Whatever else stands before this route need not do it again.
        request.scope[HOST_REQUEST] = own
    if isinstance(request, ReadRequest):
        request.known = own
    return own


def _is_of_another_site(request: ProtocolRequest) -> bool:
    """Whether a page of another site has sent a request, in an application that has no list of
    origins: browsers send forms without asking."""
    headers = request.headers
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return origin.partition("://")[2] != headers.get("host", "")


F = TypeVar("F", bound=Callable[..., Any])


def signed(function: F) -> F:
    """Mark an endpoint whose URL is the permission: rules of routers do not hold for it."""
    function.is_signed = True  # type: ignore[attr-defined]
    return function


class Guard:
    """The rules of a router before its HTTP routes, as a FastAPI dependency: 401 or 403."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    async def __call__(self, request: Request) -> None:
        if getattr(request.scope.get("endpoint"), "is_signed", False):
            # The URL is the permission: whoever got it may have it shown, without credentials.
            return
        own = await known(request)
        error = await checked(request, partial(check_rules, own, self._rules))
        if error is not None:
            raise http_error(protocol_of(request), error, own)


def http_error(
    server: Protocol | None, error: ProtocolError, request: ProtocolRequest
) -> HTTPException:
    """A refusal of the protocol's, as FastAPI raises it."""
    reply = error_reply(error) if server is None else server.refuse(error, request)
    told = ("www-authenticate", "retry-after")
    shown = {name: value for name, value in reply.headers if name in told}
    return HTTPException(reply.status, error.message, shown)


def incoming_of(
    request: ProtocolRequest,
    name: str = "",
    catalogue: Catalogue | None = None,
    hooks: ExceptionHooks = NO_HOOKS,
) -> IncomingRequest:
    """A request over plain HTTP, as handlers know requests.

    Args:
        request: The request.
        name: The name of the tool.
        catalogue: The handlers of the server.
        hooks: What the host does with exceptions.
    """
    return IncomingRequest(
        id=0,
        method="tools/call",
        params={"name": name},
        meta={},
        revision=LATEST,
        client=ClientInfo({}, {}),
        request=request,
        handlers=catalogue,
        is_plain=True,
        hooks=hooks,
    )


def hooks_of(request: Request) -> ExceptionHooks:
    """What the host of a request's server does with exceptions."""
    server: Protocol | None = protocol_of(request)
    return NO_HOOKS if server is None else server.settings.hooks


async def checked(request: Request, check: Callable[[], Any]) -> Any:
    """What a check of the host says, which runs where plain functions do: it may use a database.

    Raises what it raises.
    """
    return await off_loop(runner_of(request), check)


def runner_of(request: Request) -> Runner:
    """How handlers run for a request: as the host that bridges it says, or else its server."""
    server = parts_of(request)
    runner: Runner = request.scope.get(RUNNER, PLAIN if server is None else server.runner)
    return runner


def usual_body_limit(request: Request) -> int:
    """How large the body of a request may be, if nothing else is declared of what it is for."""
    server: Protocol | None = protocol_of(request)
    return MAX_BODY_BYTES if server is None else server.settings.max_body_bytes


async def gated_body(
    request: Request, limit: int, headers: Mapping[str, str] | None = None
) -> bytes:
    """The body of a request, within a limit.

    Args:
        request: The request.
        limit: In bytes.
        headers: Its headers, if they have been read.

    Raises:
        HTTPException: 413 if the body is too large, 400 if it is not complete.
    """
    known = read_headers(request.scope) if headers is None else headers
    try:
        body = await read_body(known, request.receive, limit)
    except ClientLeft:
        raise HTTPException(400, "The body is not complete") from None
    if body is None:
        raise too_large(limit)
    return body


def too_large(limit: int) -> HTTPException:
    """The refusal of a body that is larger than `limit`."""
    return HTTPException(413, f"The body exceeds {limit} bytes")
