"""The long wait of a subscription: a coroutine that tells its client of changes as they come."""

from __future__ import annotations

import asyncio

from mcp_mount.calls.backplane import BackplaneUnavailable
from mcp_mount.calls.channels import AsyncChannel
from mcp_mount.calls.flows import Do
from mcp_mount.protocol.changes import CLOSING, LOOK, PROBE, RESYNC, Change, Subscription
from mcp_mount.protocol.listener import Changes


async def listen(changes: Changes, subscription: Subscription, *, channel: AsyncChannel) -> None:
    """Send what `subscription` says of each change; returns when the server goes down.

    Changes may be told from any thread. Equal ones that come together are told once. One of which
    nothing can be said, since the backplane cannot be reached, is told at the next `LOOK`.
    """
    loop = asyncio.get_running_loop()
    heard: dict[Change, None] = {}
    untold: dict[Change, None] = {}
    wake = asyncio.Event()

    def note(change: Change) -> None:
        heard[change] = None
        wake.set()

    def hear(change: Change) -> None:
        # What is not wanted is not kept, however slow the client is. A loop that has been closed
        # meanwhile has nobody to tell.
        if (
            change in (CLOSING, PROBE, RESYNC) or subscription.wants(change)
        ) and not loop.is_closed():
            loop.call_soon_threadsafe(note, change)

    stop = changes.listen(hear)
    subscription.begin(hear)
    try:
        if subscription.opening is not None:
            await channel.send(subscription.opening)
        else:
            await channel.keep_alive()
        while True:
            await wake.wait()
            wake.clear()
            while heard:
                change = next(iter(heard))
                del heard[change]
                if change == CLOSING:
                    return
                if change == PROBE:
                    await channel.keep_alive()
                    continue
                if change == RESYNC:
                    heard.update(dict.fromkeys(subscription.everything()))
                    continue
                if change == LOOK:
                    heard.update(untold)
                    untold.clear()
                asked = subscription.message(change)
                try:
                    message = await _known(asked) if isinstance(asked, Do) else asked
                except BackplaneUnavailable:
                    if change != LOOK:
                        untold[change] = None
                    continue
                if message is not None:
                    await channel.send(message)
    finally:
        subscription.end()
        stop()


async def _known(asked: Do[bytes | None]) -> bytes | None:
    """The message of a change that another process knows.

    Raises:
        BackplaneUnavailable: If it cannot be asked now.
    """
    return asked.do() if asked.awaited is None else await asked.awaited()
