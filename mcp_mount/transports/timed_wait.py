"""Waiting for an event for some time."""

from __future__ import annotations

import asyncio


async def wait_at_most(event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, but not for ever.

    `asyncio.wait_for` is no choice here: before Python 3.12 it swallows a cancellation that comes
    in the moment in which the event is set, so that a cancelled call goes on.

    Args:
        event: The event.
        seconds: How long to wait.

    Returns:
        Whether it is set.
    """
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()
    return event.is_set()
