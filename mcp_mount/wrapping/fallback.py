"""Requests that an application in the back is asked first, and the server only where it has nothing
at their path: the endpoints of an authorization server at the root of the domain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from io import BytesIO
from typing import Any, Final, Protocol, runtime_checkable

from mcp_mount.transports.direct import again
from mcp_mount.transports.environs import Environ, IncompleteBody, body_length
from mcp_mount.transports.scopes import Receive, Scope, Send
from mcp_mount.transports.wsgi import StartResponse
from mcp_mount.wire.messages import Reply

_LONGEST: Final = 64 * 1024
"""The longest body, in bytes, that is kept for the server. Endpoints for clients take no longer
one; that of a longer request is the application's alone."""

_NOTHING: Final = (404, 405)
"""The statuses of an application that has nothing at a path, or nothing for this method."""


@runtime_checkable
class Closable(Protocol):
    """A WSGI response that is closed when the server has sent it (PEP 3333)."""

    def close(self) -> None: ...


async def asked_first(
    app: Callable[..., Any], scope: Scope, receive: Receive, send: Send
) -> Receive | None:
    """Ask an ASGI application to answer a request.

    Args:
        app: The application.
        scope: The request.
        receive: ASGI's.
        send: ASGI's.

    Returns:
        None, if it has answered; else what receives the request once more, of which nothing has
        been answered.
    """
    body, more = b"", True
    while more and len(body) <= _LONGEST:
        message = await receive()
        if message["type"] != "http.request":
            # The client has left.
            await app(scope, again(message, receive), send)
            return None
        body, more = body + message.get("body", b""), message.get("more_body", False)
    whole = {"type": "http.request", "body": body, "more_body": more}
    if more:
        await app(scope, again(whole, receive), send)
        return None
    has_nothing = False

    async def watched(message: MutableMapping[str, Any]) -> None:
        nonlocal has_nothing
        if message["type"] == "http.response.start":
            has_nothing = message["status"] in _NOTHING
        if not has_nothing:
            await send(message)

    # Frameworks write into the scope.
    await app({**scope}, again(whole, receive), watched)
    return again(whole, receive) if has_nothing else None


def wsgi_asked_first(
    app: Callable[..., Any],
    environ: Environ,
    start_response: StartResponse,
    read_body: Callable[[Environ], bytes | Reply],
) -> Iterable[bytes] | Reply | None:
    """Ask a WSGI application to answer a request.

    Args:
        app: The application.
        environ: The request.
        start_response: WSGI's.
        read_body: Reads the body of a request; a reply for one that cannot be read.

    Returns:
        Its response, or that to a body that cannot be read; None if it has nothing there. Then the
        environment has the body once more.
    """
    try:
        length = body_length(environ)
    except IncompleteBody:
        length = _LONGEST + 1
    if length is None and environ.get("HTTP_TRANSFER_ENCODING"):
        length = _LONGEST + 1
    if length is not None and length > _LONGEST:
        answer: Iterable[bytes] = app(environ, start_response)
        return answer
    body = read_body(environ) if length else b""
    if isinstance(body, Reply):
        return body
    begun: list[bool] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        has_nothing = status[:3] in map(str, _NOTHING)
        begun.append(has_nothing)
        if has_nothing:
            return _drop
        return start_response(status, headers, *(() if exc_info is None else (exc_info,)))

    # Frameworks write into the environment.
    answer = app({**environ, "wsgi.input": BytesIO(body)}, start)
    chunks = iter(answer)
    # An application may begin its response at the first chunk only.
    first = [] if begun else [next(chunks, b"")]
    if begun and begun[-1]:
        if isinstance(answer, Closable):
            answer.close()
        environ["wsgi.input"] = BytesIO(body)
        return None
    return _WholeResponse(answer, first, chunks) if first else answer


class _WholeResponse:
    """A response whose first chunk has been taken."""

    def __init__(self, answer: Iterable[bytes], first: list[bytes], rest: Iterator[bytes]) -> None:
        self._answer = answer
        self._first = first
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        yield from self._rest

    def close(self) -> None:
        if isinstance(self._answer, Closable):
            self._answer.close()


def _drop(data: bytes) -> None:
    """What an application writes that is not sent."""
