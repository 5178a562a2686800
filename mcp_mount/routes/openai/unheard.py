"""The pieces of an answer that is wanted as a whole: nobody hears them, and they tell a model whose
client has left that it may stop."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final

from mcp_mount.features.chat import ChatCall
from mcp_mount.llm.answers import Delta
from mcp_mount.llm.models import ReaderLeft
from mcp_mount.transports.attending import Departure, run_calls
from mcp_mount.transports.scopes import Receive
from mcp_mount.transports.threads import Runner

_PATIENCE: Final = 0.1
"""After how many seconds of a plain function its client is watched: most are over before."""


class UnheardPieces:
    """Drops pieces, as long as the client waits for the whole answer.

    Args:
        receive: ASGI's receive, of a request whose body has been read.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_left = False

    async def put(self, delta: Delta) -> None:
        """Drop a piece.

        Raises:
            ReaderLeft: If the client has left.
        """
        if self._has_left:
            raise ReaderLeft

    def put_from_thread(self, delta: Delta) -> None:
        """Drop a piece, as `put`."""
        if self._has_left:
            raise ReaderLeft

    async def run(self, call: ChatCall, runner: Runner) -> None:
        """Run a call whose pieces these are, to its end or until the client leaves.

        Args:
            call: The call.
            runner: How the host runs handlers.
        """
        if call.is_async or call.policies:
            await run_calls([call], runner, self._received)
            return
        watches: list[Departure] = []

        def watch() -> None:
            watches.append(Departure(self._receive, self._leave))

        timer = asyncio.get_running_loop().call_later(_PATIENCE, watch)
        try:
            await run_calls([call], runner)
        finally:
            timer.cancel()
            for one in watches:
                one.end_watch()

    async def _received(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._leave()
        return message

    def _leave(self) -> None:
        self._has_left = True
