"""Ways to routes of a server that lead past FastAPI, as a transport needs to know them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from typing import Any, Final, NamedTuple, Protocol

from mcp_mount.protocol.direct import Resumed
from mcp_mount.transports.environs import Environ, IncompleteBody, whole_body
from mcp_mount.transports.in_process import Application
from mcp_mount.transports.scopes import RESUMED, Receive, Scope, Send
from mcp_mount.wire.messages import JSON, Reply, Request


class DirectRequest(Protocol):
    """A request to a route that needs nothing but its handler."""

    @property
    def function(self) -> Any:
        """The handler, as the user has registered it."""

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""


class DirectRequests(Protocol):
    """Answers direct requests to one route, each in one walk."""

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, otherwise: Application
    ) -> None:
        """Answer a request under ASGI; by `otherwise`, if it is no direct one."""

    def find(self, environ: Mapping[str, Any], *, stands_alone: bool) -> bool:
        """Whether a request under WSGI may be one, by its headers."""

    def read(self, body: bytes, environ: Mapping[str, Any], /) -> Any:
        """The `DirectRequest` that has a body; None for the long way. The environment tells while
        it runs whether its client has left, if its web server does."""

    def run(self, request: Any, /) -> bytes | Resumed:
        """Run the handler of what `read` has returned, on this thread: the body of the reply, or
        what goes on with the handler the long way."""


class ShortWay(NamedTuple):
    """A way to one route.

    Attributes:
        respond: Answers any request to the route; the protocol has read it, and has not checked it.
        direct: Answers direct requests; None for a route that has none.
    """

    respond: Callable[[Request, Scope, Receive, Send], Awaitable[None]]
    direct: DirectRequests | None = None


def answered(
    direct: DirectRequests, environ: Environ, manager: AbstractContextManager[Any] | None = None
) -> Reply | None:
    """Answer a request that may be a direct one to an HTTP route, by its headers.

    Args:
        direct: What has looked at its headers.
        environ: The WSGI environment. For the long way it has the body of the request once more,
            and what goes on with a handler that has failed.
        manager: Entered around the handler.

    Returns:
        The reply; None for the long way.
    """
    size = int(environ["CONTENT_LENGTH"])
    try:
        with whole_body():
            body = environ["wsgi.input"].read(size)
    except IncompleteBody:
        body = b""
    environ["wsgi.input"] = BytesIO(body)
    asked = direct.read(body, environ) if len(body) == size else None
    if asked is None:
        return None
    with manager or nullcontext():
        done = direct.run(asked)
    if isinstance(done, bytes):
        return Reply(200, done, [_IN_JSON])
    environ[RESUMED] = done
    return None


_IN_JSON: Final = ("content-type", JSON)
