"""Whether the client of a WSGI request has left: WSGI does not tell it, and some web servers do."""

from __future__ import annotations

import _socket
import asyncio
import select
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from mcp_mount.transports.scopes import ClientLeft
from mcp_mount.wire.cancellation import cancel, unmark_cancelled

T = TypeVar("T")

LOOK_SECONDS: Final = 0.5
"""How often a web server is asked whether the client has left."""

_SOCKETS: Final = ("gunicorn.socket", "werkzeug.socket")
"""Where web servers leave the connection."""

_CLOSED: Final[int | None] = getattr(select, "POLLRDHUP", None)
"""The event of a connection that its other end has closed; only Linux has it."""


def departure_of(environ: Mapping[str, Any]) -> Callable[[], bool] | None:
    """What tells whether the client has left, at once and on any thread.

    Args:
        environ: The WSGI environment of the request.

    Returns:
        The function; None if nothing tells it.
    """
    told: Any = environ.get("waitress.client_disconnected")
    if callable(told):
        return partial(_is_told, told)
    if _CLOSED is None:
        return None
    for name in _SOCKETS:
        connection = environ.get(name)
        # Those of gevent are for its own thread.
        if isinstance(connection, _socket.socket):
            return partial(_is_closed, connection, _CLOSED)
    return None


async def unless_left(answer: Awaitable[T], has_left: Callable[[], bool]) -> T:
    """Await what a client waits for, and cancel it when the client has left.

    Args:
        answer: What is awaited, in a task of its own.
        has_left: What `departure_of` has returned.

    Raises:
        ClientLeft: If it was cancelled.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "it is a coroutine of a task"
    gone = False
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal gone, timer
        if has_left():
            gone = True
            cancel(task)
        else:
            timer = loop.call_later(LOOK_SECONDS, look)

    timer = loop.call_later(LOOK_SECONDS, look)
    try:
        return await answer
    except asyncio.CancelledError:
        if not gone:
            raise
        raise ClientLeft from None
    finally:
        timer.cancel()
        unmark_cancelled(task)


def _is_told(told: Callable[[], Any]) -> bool:
    return bool(told())


def _is_closed(connection: _socket.socket, event: int) -> bool:
    number = connection.fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, event)
    return bool(poll.poll(0))
