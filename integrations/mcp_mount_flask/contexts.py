"""The lifetime of Flask's contexts: as long as the calls of their request."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Request
from flask.globals import request_ctx
from werkzeug.datastructures import EnvironHeaders

from mcp_mount.transports.environs import own_environ


def keep_environ(request: Request) -> None:
    """Give a request an environ of its own. uWSGI reuses its environ for the next request."""
    own = own_environ(request.environ)
    if own is not request.environ:
        request.environ = own
        request.headers = EnvironHeaders(own)


def within_request(events: Iterator[bytes]) -> Iterator[bytes]:
    """Keep the contexts of the current request until `events` have ended or are closed.

    Calls that report progress or ask still run when their view returns. `g`, the session of
    Flask-SQLAlchemy and `current_user` stay theirs until they end, even after the client has
    disconnected. Teardown functions run after that, once, and get no exception: how a call ended is
    in its result.

    Args:
        events: The events of the calls. Closing them ends the calls.

    Returns:
        The same events. They must be iterated and closed on the thread of the request, as all WSGI
        servers do.
    """
    # Not `stream_with_context`: since Flask 3.1.2 it pops the contexts when the view returns and
    # pushes them again later, so they would be torn down while the call is running.
    context = request_ctx._get_current_object()  # type: ignore[attr-defined]

    def spanning() -> Iterator[bytes]:
        # The application context of the request ends with it, at the last pop.
        context.push()
        try:
            yield b""
            yield from events
        finally:
            # Also after the events have ended: if the client continues to read on another
            # connection, the calls go on while their own response is closed.
            try:
                events.close()  # type: ignore[attr-defined]
            finally:
                context.pop(None)

    # A generator also pops the contexts if nobody closes it: when it is garbage collected.
    kept = spanning()
    next(kept)
    return kept
