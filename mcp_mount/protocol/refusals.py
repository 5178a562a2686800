"""Warnings about requests that a server refuses for its configuration: once each, not for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_FORGET_SECONDS: Final = 3600.0
_MAX_NAMES: Final = 20
_MAX_SHOWN: Final = 100


class RefusalLog:
    """Warns of each name that is refused, once an hour, and of so many names at most.

    Clients choose the names: one that makes up a new one for each request must not fill the log.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._told: set[tuple[str, str]] = set()

    def warn(self, header: str, value: str, option: str) -> None:
        """Log that a request was refused for a header, and which option would let it in."""
        now = self._clock()
        if now > self._since + _FORGET_SECONDS:
            self._told.clear()
            self._since = now
        name = (header, value[:_MAX_SHOWN])
        if name in self._told or len(self._told) >= _MAX_NAMES:
            return
        self._told.add(name)
        # repr: a client has written it, and log lines end where it says so otherwise.
        logger.warning(
            "Requests with the %s %r are refused. If that is right, they come from somewhere else; "
            "if not, name it in %s.",
            header,
            name[1],
            option,
        )
        if len(self._told) == _MAX_NAMES:
            logger.warning("Further refusals by Host and Origin are not logged for an hour.")
