"""Whether the client of a WSGI request has left: WSGI does not tell it, and some web servers do."""

from __future__ import annotations

import _socket
import select
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

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


def _is_told(told: Callable[[], Any]) -> bool:
    return bool(told())


def _is_closed(connection: _socket.socket, event: int) -> bool:
    number = connection.fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, event)
    return bool(poll.poll(0))
