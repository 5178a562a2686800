"""Pools of connections to Redis that wait for a free one, where redis-py has none that will do.

Imported when the first client is made: redis-py belongs to an extra.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis import BlockingConnectionPool
from redis.asyncio import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.sentinel import SentinelConnectionPool


class AsyncPool(AsyncBlockingConnectionPool):
    """A pool of an event loop that loses no connection.

    redis-py's own (as of 8.1) takes a lock to give a connection back. A task that is cancelled
    while it waits for it, as when a client leaves, keeps the connection for ever.
    """

    async def release(self, connection: Any) -> None:
        await asyncio.shield(super().release(connection))


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the master that Sentinels name, for threads."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        # Before version 7, pools that wait cannot leave those alone that are in use.
        idle = [one for one in list(self.pool.queue) if one is not None]
        for connection in list(self._connections) if inuse_connections else idle:
            connection.disconnect()
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


class AsyncSentinelPool(AsyncSentinelConnectionPool, AsyncPool):
    """Connections to the master that Sentinels name, for an event loop."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        # It is closed, and redis-py forgets the connections to the Sentinels. Others are kept when
        # the master has changed.
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()
