"""Several calls that answer one HTTP request: all are admitted before the first begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mcp_mount.calls.call import Call
from mcp_mount.calls.groups import CallGroup
from mcp_mount.transports.driving import follow_async
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.threads import PLAIN


@asynccontextmanager
async def together(calls: Sequence[Call]) -> AsyncIterator[None]:
    """Run calls within this: where one is refused, none is made.

    Args:
        calls: The calls, all of the same model.
    """
    if len(calls) < 2:
        yield
        return
    group = CallGroup(calls)
    try:
        yield
    finally:
        ending = keep(asyncio.create_task(follow_async(group.end(), PLAIN)))
        if (cancellation := await wait_until_done(ending)) is not None:
            raise cancellation
