"""Waiting for an event for some time, whatever comes meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from mcp_mount.transports.timed_wait import wait_at_most


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_that_comes_as_the_event_is_set_is_not_lost(turns: int) -> None:
    async def run() -> None:
        event = asyncio.Event()
        waiting = asyncio.ensure_future(wait_at_most(event, 60))
        await asyncio.sleep(0.01)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        had_ended = waiting.done()
        waiting.cancel()
        if had_ended:
            assert waiting.result() is True
            return
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())


def test_it_ends_without_the_event_and_leaves_nothing() -> None:
    async def run() -> None:
        assert not await wait_at_most(asyncio.Event(), 0.01)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
