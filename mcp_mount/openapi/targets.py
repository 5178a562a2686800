"""What a tool of an existing endpoint calls, and how its response becomes the value of the tool."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, cast

from mcp_mount.calls.activity import lasting
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.output import ResponseOutput
from mcp_mount.openapi.redirects import slash_path
from mcp_mount.openapi.requests import OperationArguments, Sent
from mcp_mount.openapi.responses import Answer, value_of_response
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_LARGE: Final = 64 * 1024
"""A response with more bytes is read on a thread."""

FunctionOf: TypeAlias = "Callable[[Target], Callable[..., Any]]"
"""How a host makes the function that calls an operation."""

Send: TypeAlias = "Callable[[Any, Sent, ResponseBody], Answer | Awaitable[Answer]]"
"""How a host sends a request to its application, as a plain or a coroutine function.

It gets the host's request of the caller (None where there is none), the request to send, and what
collects the body of the response, which raises for too much of it. Its own exceptions, such as
InvalidArguments, end the call.
"""


class CookieWarning:
    """Warns of cookies that endpoints set, once for all tools of one `expose`: an application that
    keeps sessions may set one with every answer."""

    def __init__(self) -> None:
        self._is_told = False

    def tell(self, tool: str) -> None:
        if self._is_told:
            return
        self._is_told = True
        logger.warning(
            "The endpoint of the tool %r sets a cookie. MCP clients keep none, so it goes no "
            "further: endpoints that log in or out are no tools, and a session that is begun by a "
            "call ends with it. Other endpoints may do so too; this is said once.",
            tool,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What the function of a tool calls.

    Attributes:
        operation: The operation.
        arguments: The arguments of the operation.
        limit: Returns how much of a response is collected, in bytes.
        output: How responses become results.
        login: Returns the paths that unauthenticated callers are redirected to.
        name: The name of the tool.
        cookies: Warns of cookies, for all tools of one `expose`.
    """

    operation: Operation
    arguments: OperationArguments
    limit: Callable[[], int | None]
    output: ResponseOutput
    login: Callable[[], Collection[str]] = tuple
    name: str = ""
    cookies: CookieWarning = field(default_factory=CookieWarning)

    def request(self, arguments: Mapping[str, Any]) -> Sent:
        """The request for some arguments.

        Args:
            arguments: By their names.

        Raises:
            InvalidArguments: If no request can be made of them.
        """
        return self.arguments.request(self.operation, arguments)

    def value(self, answer: Answer, path: str) -> Any:
        """The value of the tool for a response.

        Args:
            answer: The response.
            path: The path of its request.

        Raises:
            ToolError: If the response reports a failure.
        """
        value = value_of_response(
            answer.status,
            answer.headers,
            answer.body,
            login=self.login(),
            redirects=self.operation.declares(answer.status),
            path=path,
            limit=self.limit(),
        )
        # A refusal that sets one (Flask-Login's message for the page of the login) is no matter.
        if "set-cookie" in answer.headers:
            self.cookies.tell(self.name)
        return self.output.fitting(value)


def calling(send: Send) -> FunctionOf:
    """How tools are made of operations, for a host that can send requests to its application.

    Args:
        send: Sends one.

    Returns:
        What `add_operations` takes: plain functions for a plain `send`, else coroutine functions,
        which run to their end when the client has left, as the endpoint does over plain HTTP.
    """

    def function_of(target: Target) -> Callable[..., Any]:
        def call(request: Any, arguments: Mapping[str, Any]) -> Any:
            sent = target.request(arguments)
            answer: Any = send(request, sent, ResponseBody(target.limit()))
            other = _slash_path(sent, answer)
            if other is not None:
                again = replace(sent, path=other)
                answer = send(request, again, ResponseBody(target.limit()))
            return target.value(answer, sent.path)

        @lasting
        async def call_async(request: Any, arguments: Mapping[str, Any]) -> Any:
            sent = target.request(arguments)
            # A coroutine function: its type cannot tell from that of a plain one.
            answer: Any = await cast(Any, send)(request, sent, ResponseBody(target.limit()))
            other = _slash_path(sent, answer)
            if other is not None:
                again = replace(sent, path=other)
                answer = await cast(Any, send)(request, again, ResponseBody(target.limit()))
            if len(answer.body) > _LARGE:
                # Reading and checking it would hold the event loop.
                return await asyncio.to_thread(target.value, answer, sent.path)
            return target.value(answer, sent.path)

        made: Any = call_async if inspect.iscoroutinefunction(send) else call
        made.__name__ = made.__qualname__ = target.operation.default_name
        function: Callable[..., Any] = made
        return function

    return function_of


def _slash_path(sent: Sent, answer: Answer) -> str | None:
    """The path to try again, if the answer only adds or takes the slash at its end."""
    location = answer.headers.get("location", "")
    return slash_path(sent.operation.method, sent.path, answer.status, location)
