"""A pool of connections to Redis that waits for a free one, where redis-py has none that will do.

Imported when the first client is made: redis-py belongs to an extra.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool as AsyncBlockingConnectionPool


class AsyncPool(AsyncBlockingConnectionPool):
    """A pool of an event loop that loses no connection.

    redis-py's own (as of 8.1) takes a lock to give a connection back. A task that is cancelled
    while it waits for it, as when a client leaves, keeps the connection for ever.
    """

    async def release(self, connection: Any) -> None:
        await asyncio.shield(super().release(connection))
