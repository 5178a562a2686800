"""What the exceptions of Starlette and FastAPI are to a client, and what users' own handlers of
exceptions say: those of the server, and those of the application that it is mounted in."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias, cast

from starlette.exceptions import HTTPException
from starlette.responses import Response

from mcp_mount.calls.exception_hooks import ExceptionHooks, FailedCall
from mcp_mount.schemas.arguments import InvalidArguments
from mcp_mount.transports import background
from mcp_mount.transports.lasting import keep
from mcp_mount.wire.errors import (
    CallRejected,
    ProtocolError,
    ResourceNotFoundError,
    ToolError,
)
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

Handlers: TypeAlias = Mapping[Any, Callable[..., Any]]
"""By exception class or status, as Starlette keeps them."""

_FRAMEWORKS: Final = ("fastapi", "starlette", "mcp_mount")
"""Whose handlers are there anyway: they answer HTTP, and say nothing that we do not."""

_ANSWERED: Final = "__mcp_mount_answered__"
"""The attribute of an exception that a handler has answered, and for which request: each is asked
once for one, though telemetry, the log and the client want to know. An exception that is made once
and raised for several callers has an answer for each."""

_GONE: Final = (404, 410)


def exception_hooks(*applications: Any) -> ExceptionHooks:
    """What a server does with the exceptions of its handlers.

    Args:
        applications: The server, and the application that it is mounted in: the nearest first.
            Their `exception_handlers` count, also those that are added later.

    Returns:
        The hooks, which a server asks what an exception is to its client.
    """

    def handlers() -> list[Handlers]:
        return [one.exception_handlers for one in applications]

    def handle(call: FailedCall, error: Exception) -> Exception | None:
        if isinstance(error, ToolError | ProtocolError | InvalidArguments):
            return None
        asked_for, known = vars(error).get(_ANSWERED, (None, None))
        if asked_for is call.incoming.request:
            return cast("Exception | None", known)
        handler = next(_found(handlers(), error), None)
        ours = None if handler is None else _answer(handler, call, error)
        if ours is None and isinstance(error, HTTPException):
            ours = rejection_of(error)
        vars(error)[_ANSWERED] = (call.incoming.request, ours)
        return ours

    def report(call: FailedCall, error: BaseException) -> None:
        if not isinstance(error, Exception):
            return
        handler = next(_last_resorts(handlers()), None)
        if handler is not None:
            _tell(handler, call, error)

    return ExceptionHooks(report=report, handle=handle)


def rejection_of(error: HTTPException) -> Exception:
    """An HTTPException, of a handler or of a dependency, in its own words and with its status.

    Args:
        error: The exception.

    Returns:
        ResourceNotFoundError for 404 and 410, else a CallRejected.
    """
    detail = error.detail
    words = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
    if error.status_code in _GONE:
        return ResourceNotFoundError(words)
    given = {name.lower(): value for name, value in (error.headers or {}).items()}
    after: float | None = None
    with suppress(KeyError, ValueError):
        # It may be a date, too (RFC 9110, section 10.2.3).
        after = float(given["retry-after"])
    return CallRejected(words, status=error.status_code, retry_after=after)


def _found(handlers: list[Handlers], error: Exception) -> Iterator[Callable[..., Any]]:
    """The users' own handlers of an exception, as Starlette looks for them: of an HTTPException by
    its status first, of all by the nearest class."""
    kinds: list[Any] = [one for one in type(error).__mro__ if one not in (Exception, BaseException)]
    if isinstance(error, HTTPException):
        kinds.insert(0, error.status_code)
    for known in handlers:
        for kind in kinds:
            handler = known.get(kind)
            if handler is not None and not _is_ours(handler):
                yield handler
                break


def _last_resorts(handlers: list[Handlers]) -> Iterator[Callable[..., Any]]:
    """The users' own handlers of whatever nothing else handles."""
    for known in handlers:
        for kind in (500, Exception):
            if kind in known and not _is_ours(known[kind]):
                yield known[kind]


def _is_ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] in _FRAMEWORKS


def _answer(handler: Callable[..., Any], call: FailedCall, error: Exception) -> Exception | None:
    """What a handler says of an exception; None if it takes it for a failure of the server's."""
    response = handler(call.request, error)
    if inspect.iscoroutine(response):
        response = _at_once(response, handler)
    if not isinstance(response, Response) or response.status_code >= 500:
        return None
    # Importing it takes a while, and most servers do without.
    from mcp_mount.openapi.responses import value_of_response

    body = bytes(getattr(response, "body", b""))
    try:
        value = value_of_response(response.status_code, dict(response.headers), body)
    except ToolError as refused:
        words = str(refused)
        if response.status_code in _GONE:
            return ResourceNotFoundError(words)
        return CallRejected(words, status=response.status_code)
    return ToolError(value if isinstance(value, str) else json.dumps(value, default=str))


def _at_once(coroutine: Any, handler: Callable[..., Any]) -> Any:
    """What a coroutine returns that waits for nothing, as nearly all handlers of exceptions do:
    there is no event loop where the answer is made under WSGI."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    logger.warning(
        "The exception handler %s awaits something, and says nothing to MCP clients: raise "
        "ToolError, or answer without waiting",
        getattr(handler, "__qualname__", handler),
    )
    return None


def _tell(handler: Callable[..., Any], call: FailedCall, error: Exception) -> None:
    """Let the handler of all other exceptions hear of one: the client gets a neutral sentence."""
    answer = handler(call.request, error)
    if not inspect.isawaitable(answer):
        return
    running = _logged(answer)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        background.spawn(running)
    else:
        keep(asyncio.ensure_future(running))


async def _logged(running: Awaitable[Any]) -> None:
    try:
        await running
    except Exception:
        logger.exception("The application's exception handler failed")
