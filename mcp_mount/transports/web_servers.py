"""What web servers tell nobody of their end: whether it has begun, and that a worker has had its
requests (gunicorn's `max_requests`, uvicorn's `limit_max_requests`).

gunicorn 27 and uvicorn 0.54 wait then for the responses that are open, and start no other worker
before these have ended. So they are looked at.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mcp_mount.transports.os_threads import start_thread

_LOOK_SECONDS: Final = 0.5

_watched: tuple[int, Any] | None = None
"""The process whose web server is looked at, and the server: a fork leaves the thread behind."""


def watch_web_server(server: Any, on_end: Callable[[], None]) -> None:
    """Call a function when a web server ends this worker without a signal.

    Args:
        server: What handles the signals of the process: gunicorn's worker, uvicorn's server, or
            anything else, which is let be.
        on_end: Called at once, if the end has begun, or else on a thread of its own.
    """
    global _watched
    library = type(server).__module__.partition(".")[0]
    if library == "gunicorn" and hasattr(server, "max_requests"):
        # gunicorn says with this number that there is no limit.
        serves, is_limited = partial(_worker_serves, server), server.max_requests < sys.maxsize
    elif library == "uvicorn":
        serves, is_limited = partial(_server_serves, server), bool(server.config.limit_max_requests)
    else:
        return
    if not serves():
        on_end()
    elif is_limited and _watched != (os.getpid(), server):
        _watched = (os.getpid(), server)
        stopped: list[bool] = []
        look = partial(_look, serves, on_end, stopped)
        start_thread(look, "mcp-mount-request-limit", stop=partial(stopped.append, True))


def _worker_serves(worker: Any) -> bool:
    return bool(worker.alive)


def _server_serves(server: Any) -> bool:
    # It has no servers before it listens.
    listening = getattr(server, "servers", ())
    return not server.should_exit and all(one.is_serving() for one in listening)


def _look(serves: Callable[[], bool], on_end: Callable[[], None], stopped: list[bool]) -> None:
    while serves():
        time.sleep(_LOOK_SECONDS)
        if stopped:
            return
    on_end()
