"""How long Flask's contexts live: as long as the calls of their request."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Request
from flask.globals import request_ctx
from werkzeug.datastructures import EnvironHeaders

from mcp_mount.transports.wsgi import own_environ


def keep_environ(request: Request) -> None:
    """Let a request have an environment that no other request is given after it (uWSGI)."""
    own = own_environ(request.environ)
    if own is not request.environ:
        request.environ = own
        request.headers = EnvironHeaders(own)


def within_request(events: Iterator[bytes]) -> Iterator[bytes]:
    """Keep the contexts of the current request until `events` have ended or are closed.

    The calls that speak are running when their view returns: `g`, the session of Flask-SQLAlchemy
    and `current_user` are theirs until they end, even when the client has left. Teardown functions
    run after that, once, and hear of no exception: how a call ended is in its result.

    Args:
        events: What the calls say. Closing them ends the calls.

    Returns:
        The same events. They must be iterated and closed on the thread of the request, as all
        WSGI servers do.
    """
    # Not `stream_with_context`: since Flask 3.1.2 that lets the contexts go when the view returns
    # and pushes them again later, so that they are torn down while the call is running.
    context = request_ctx._get_current_object()  # type: ignore[attr-defined]

    def spanning() -> Iterator[bytes]:
        # The request's application context is let go with it, by whoever pops last.
        context.push()
        try:
            yield b""
            yield from events
        finally:
            # Also where they have ended: when a client reads on by another connection, the calls
            # of the stream run on as their own response is closed.
            try:
                events.close()  # type: ignore[attr-defined]
            finally:
                context.pop(None)

    # A generator also lets them go when nobody closes it: when it is no longer referred to.
    kept = spanning()
    next(kept)
    return kept
