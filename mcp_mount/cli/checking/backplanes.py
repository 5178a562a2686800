"""Whether a server can use its backplane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from secrets import token_hex
from typing import Final

from mcp_mount.backends.redis_urls import shown_redis_url
from mcp_mount.base import MCPServer
from mcp_mount.calls.backplane import Backplane, BackplaneUnavailable
from mcp_mount.calls.flows import at_once
from mcp_mount.cli.checking.findings import Finding

_WHY: Final = (
    "answers to questions of another worker, tasks, logging/setLevel, and subscribing and ending "
    "in a session get status 503; changes reach the clients of other workers when it is back; "
    "throttle= and budget= refuse their calls, unless store= is elsewhere"
)

_TODO: Final = (
    "run this on the machine of the server, since a private network may not let others in; start "
    "the backplane, or mend backplane= (MCP_BACKPLANE in Flask, BACKPLANE in Django): its address, "
    "password and the rights of its user"
)

_SECONDS: Final = 5.0
"""How long what is written here is kept, should it not be dropped."""


def backplane_name(server: MCPServer) -> str | None:
    """What a person knows the backplane of a server by: its URL without a password, or its class.

    Args:
        server: The server.

    Returns:
        None, if each of its processes is on its own.
    """
    backplane = server.core.backplane
    if backplane is None:
        return None
    given = server.core.values["backplane"]
    return shown_redis_url(given) if isinstance(given, str) else type(backplane).__name__


def ask_backplane(server: MCPServer) -> Iterator[Finding]:
    """Write something and read it, as workers do.

    Args:
        server: The server. If each of its processes is on its own, there is nothing to find.
    """
    backplane = server.core.backplane
    if backplane is None:
        return
    try:
        _use(backplane)
    except BackplaneUnavailable as error:
        problem = str(error)
    except Exception as error:
        # Of a class of the user's own, or a name that no system looks up.
        problem = f"{type(error).__name__}: {error}"
    else:
        return
    yield Finding(
        f"The backplane {backplane_name(server)} cannot be used from here: {problem}", _WHY, _TODO
    )


def _use(backplane: Backplane) -> None:
    """Write something, read it and drop it; and send something to nobody.

    Raises:
        BackplaneUnavailable: If one of these does not work.
        Exception: Whatever a backplane of the user's own raises.
    """
    key, written = f"check:{token_hex(8)}", {"checked": "1"}
    try:
        at_once(backplane.note(key, written, ttl=_SECONDS, new=True))
        read = at_once(backplane.record(key))
        if dict(read) != written:
            raise BackplaneUnavailable("what was written cannot be read")
    except Exception:
        # It may have been written, and not been given its time.
        with suppress(Exception):
            at_once(backplane.forget(key))
        raise
    at_once(backplane.forget(key))
    # To a process that is not there: messages are kept in another way than records.
    at_once(backplane.send(key, {"kind": "check"}))
