"""Connections to the master that Sentinels name, which wait while a fail-over goes on.

Imported when the first client of Sentinels is made: redis-py belongs to an extra.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from typing import Any

from redis import BlockingConnectionPool, RedisError
from redis.asyncio import sentinel as async_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from mcp_mount.backends.redis_pools import AsyncPool

RETRY_FOR_EVER = -1
"""What redis-py takes for no limit of tries: that of time takes its place."""


class TimedRetry(Retry):
    """Tries again for some seconds, for threads.

    redis-py counts tries, and multiplies them: a command that is sent again connects again, which
    tries several times as well. Here what is within another try is tried once. Each connection has
    a copy of its own.

    Args:
        seconds: For how long, from the first try.
        backoff: The pauses.
        errors: What is tried again.
    """

    def __init__(self, seconds: float, backoff: Any, errors: tuple[type[Exception], ...]) -> None:
        super().__init__(backoff, RETRY_FOR_EVER, errors)
        self._seconds = seconds
        self._is_trying = False

    def call_with_retry(
        self, do: Callable[[], Any], fail: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        if self._is_trying:
            return do()
        until = time.monotonic() + self._seconds

        def failed(error: Exception, *count: int) -> None:
            fail(error, *count)
            if time.monotonic() >= until:
                raise error

        self._is_trying = True
        try:
            return super().call_with_retry(do, failed, *args, **options)
        finally:
            self._is_trying = False


class AsyncTimedRetry(AsyncRetry):
    """A `TimedRetry` for an event loop.

    Args:
        seconds: For how long, from the first try.
        backoff: The pauses.
        errors: What is tried again.
    """

    def __init__(self, seconds: float, backoff: Any, errors: tuple[type[Any], ...]) -> None:
        super().__init__(backoff, RETRY_FOR_EVER, errors)
        self._seconds = seconds
        self._is_trying = False

    async def call_with_retry(
        self, do: Callable[[], Any], fail: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        if self._is_trying:
            return await do()
        until = time.monotonic() + self._seconds

        async def failed(error: Exception, *count: int) -> None:
            await fail(error, *count)
            if time.monotonic() >= until:
                raise error

        self._is_trying = True
        try:
            return await super().call_with_retry(do, failed, *args, **options)
        finally:
            self._is_trying = False


class MasterConnection(SentinelManagedConnection):
    """A connection that asks the Sentinels each time that it connects, for threads.

    A command that is sent again connects, in redis-py (as of 8.1), to the address that the
    connection had: to the old master, as often as it is tried.
    """

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self._sock:
            self.connect()  # type: ignore[no-untyped-call]
        super().send_packed_command(command, check_health=check_health)  # type: ignore[no-untyped-call]


class MasterTLSConnection(MasterConnection, SentinelManagedSSLConnection):
    """The same by TLS."""


class AsyncMasterConnection(async_sentinel.SentinelManagedConnection):
    """A connection that asks the Sentinels each time that it connects, for an event loop."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        await super().send_packed_command(command, check_health=check_health)


class AsyncMasterTLSConnection(AsyncMasterConnection, async_sentinel.SentinelManagedSSLConnection):
    """The same by TLS."""


class _Asked:
    """A Sentinel, of which it is noted why it does not answer.

    redis-py (as of 8.1) does not say it, and lists all that it knows of the connection instead.
    """

    def __init__(self, sentinel: Any, problems: list[str]) -> None:
        self.sentinel = sentinel
        self._problems = problems

    def sentinel_masters(self) -> Any:
        try:
            return self.sentinel.sentinel_masters()
        except RedisError as error:
            self._note(error)
            raise

    def _note(self, error: RedisError) -> None:
        place = self.sentinel.connection_pool.connection_kwargs
        self._problems.append(f"{place['host']}:{place['port']}: {error}")


class _AsyncAsked(_Asked):
    async def sentinel_masters(self) -> Any:
        try:
            return await self.sentinel.sentinel_masters()
        except RedisError as error:
            self._note(error)
            raise


def _unnamed(service_name: str, problems: list[str]) -> str:
    why = f" ({'; '.join(problems)})" if problems else ""
    return f"No Sentinel names a master {service_name!r} that is up{why}"


class Sentinels(Sentinel):
    """The Sentinels, for threads.

    redis-py (as of 8.1) moves the one that answers to the top of the list while others go through
    it: some skip the only one that answers, and one that was moved twice takes the place of
    another, which is not asked any more. Here each goes through a list of its own.
    """

    def discover_master(self, service_name: str) -> Any:
        problems: list[str] = []
        own: Any = copy(self)
        own.sentinels = [_Asked(one, problems) for one in self.sentinels]
        try:
            found = Sentinel.discover_master(own, service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            raise MasterNotFoundError(_unnamed(service_name, problems)) from None
        self.sentinels = [one.sentinel for one in own.sentinels]
        return found


class AsyncSentinels(async_sentinel.Sentinel):
    """The Sentinels, for an event loop; as `Sentinels`."""

    async def discover_master(self, service_name: str) -> Any:
        problems: list[str] = []
        own: Any = copy(self)
        own.sentinels = [_AsyncAsked(one, problems) for one in self.sentinels]
        try:
            found = await async_sentinel.Sentinel.discover_master(own, service_name)
        except async_sentinel.MasterNotFoundError:
            words = _unnamed(service_name, problems)
            raise async_sentinel.MasterNotFoundError(words) from None
        self.sentinels = [one.sentinel for one in own.sentinels]
        return found


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the master that Sentinels name, for threads."""

    def __init__(self, service_name: str, sentinel_manager: Any, **kwargs: Any) -> None:
        kwargs["connection_class"] = MasterTLSConnection if kwargs.get("ssl") else MasterConnection
        super().__init__(service_name, sentinel_manager, **kwargs)  # type: ignore[no-untyped-call]

    def disconnect(self, inuse_connections: bool = True) -> None:
        # Before version 7, pools that wait cannot leave those alone that are in use.
        idle = [one for one in list(self.pool.queue) if one is not None]
        for connection in list(self._connections) if inuse_connections else idle:
            connection.disconnect()
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


class AsyncSentinelPool(async_sentinel.SentinelConnectionPool, AsyncPool):
    """Connections to the master that Sentinels name, for an event loop."""

    def __init__(self, service_name: str, sentinel_manager: Any, **kwargs: Any) -> None:
        is_tls = kwargs.get("ssl")
        kwargs["connection_class"] = AsyncMasterTLSConnection if is_tls else AsyncMasterConnection
        super().__init__(service_name, sentinel_manager, **kwargs)  # type: ignore[no-untyped-call]

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        # It is closed, and redis-py forgets the connections to the Sentinels. Others are kept when
        # the master has changed.
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()
