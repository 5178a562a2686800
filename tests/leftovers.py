"""What would go on after a test, on threads that other tests use."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mcp_mount.transports import background, outbox


def give_up_messages() -> None:
    """Give up what servers of this process still tell others.

    It would be tried again for minutes, and what the log says of it would be among the records of
    another test.
    """
    if any(one._is_sending for one in list(outbox._outboxes)):
        with suppress(background.LoopEnded):
            background.spawn(_cancel_sending())[0].result(60)


async def _cancel_sending() -> None:
    sending = [
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", "") == outbox.Outbox._send.__qualname__
    ]
    for task in sending:
        task.cancel()
    if sending:
        await asyncio.wait(sending)
