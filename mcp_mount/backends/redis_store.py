"""A store in Redis or Valkey. Imported when one is declared: redis-py belongs to an extra."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from mcp_mount.backends.redis_clients import RedisClients
from mcp_mount.backends.stores import STRATEGIES, Count, Limits, StoreUnavailable
from mcp_mount.calls.flows import Do
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

T = TypeVar("T")

_PREFIX: Final = "mcp-mount:"
_LIMITS_PREFIX: Final = f"{_PREFIX}limits"
_LOG_SECONDS: Final = 5.0
_MARK_MILLISECONDS: Final = 30_000
"""How long a script knows its own work again: longer than a command is sent again."""


class RedisStore:
    """A store in Redis, or Valkey, for all processes that have its URL. Values are bytes.

    Args:
        url: As `RedisClients` lists them.

    Raises:
        ValueError: If the URL is of another kind.
        MissingExtra: If redis-py is not installed.
    """

    shared = True

    def __init__(self, url: str) -> None:
        self._clients = RedisClients(url, wanted_by=f"store={url.partition('://')[0]!r}")
        self._unlock()
        after_fork(self._unlock)
        self._limits: dict[str, Limits] = {}
        self._next_line = 0.0

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> Do[list[Any]]:
        names = [_PREFIX + key for key in keys]
        if not self._clients.is_cluster:
            return self._command("mget", names)

        # A cluster has them in several places. They may change in between, as after one command.
        def do() -> list[Any]:
            client = self._clients.client()
            return [client.get(name) for name in names]

        async def awaited() -> list[Any]:
            client = await self._clients.async_client()
            return [await client.get(name) for name in names]

        return self._reached(do, awaited)

    def set(self, key: str, value: Any, ttl: float) -> Do[None]:
        return self._command("set", _PREFIX + key, value, px=max(1, int(ttl * 1000)))

    def keeps_for(self, ttl: float) -> None:
        """Other processes may keep theirs for longer."""

    def claim(self, key: str, token: str, ttl: float) -> Do[bool]:
        return self._command("eval", _CLAIM, 1, _PREFIX + key, token, max(1, int(ttl * 1000)))

    def release(self, key: str, token: str) -> Do[None]:
        return self._command("eval", _RELEASE, 1, _PREFIX + key, token)

    def count(self, counts: Sequence[Count]) -> Do[int]:
        keys = [_PREFIX + one.key for one in counts]
        given: list[Any] = []
        for one in counts:
            limit = "" if one.limit is None else one.limit
            given += [one.amount, max(1, int(one.ttl * 1000)), limit]
        # After the first key, whose {tag} it shares.
        mark = f"{keys[0] if keys else _PREFIX}:{secrets.token_urlsafe(9)}"
        return self._command("eval", _COUNT, len(keys) + 1, *keys, mark, *given)

    def rate(self, strategy: str, rate: Any, name: str, key: str, cost: int) -> Do[float | None]:
        if strategy == "moving-window":
            return self._moving(rate, name, key, cost)
        counting = self.limits(strategy).count(rate, name, key, cost)
        assert counting.awaited is not None, "counting in another process takes time"
        return self._reached(counting.do, counting.awaited)

    def limits(self, strategy: str) -> Limits:
        with self._lock:
            known = self._limits.get(strategy)
            if known is None:
                known = self._limits[strategy] = _limits(self._clients, STRATEGIES[strategy])
            return known

    def _moving(self, rate: Any, name: str, key: str, cost: int) -> Do[float | None]:
        """Count in a moving window by the clock of Redis: the library `limits` compares those of
        the machines that count, which may be minutes apart."""
        place = f"{_LIMITS_PREFIX}:moving:{rate.key_for(name, key)}"
        given = 1, place, rate.amount, rate.get_expiry(), cost
        counted = self._command("eval", _MOVING, *given)
        assert counted.awaited is not None, "counting in another process takes time"
        awaited = counted.awaited

        def do() -> float | None:
            return _seconds(counted.do())

        async def do_async() -> float | None:
            return _seconds(await awaited())

        return Do(do, do_async)

    def _command(self, name: str, *args: Any, **options: Any) -> Do[Any]:
        def do() -> Any:
            return getattr(self._clients.client(), name)(*args, **options)

        async def awaited() -> Any:
            return await getattr(await self._clients.async_client(), name)(*args, **options)

        return self._reached(do, awaited)

    def _reached(self, do: Callable[[], T], awaited: Callable[[], Awaitable[T]]) -> Do[T]:
        """An operation; raises StoreUnavailable if the server cannot be reached."""

        def reached() -> T:
            try:
                return do()
            except self._clients.errors as error:
                self._log(error)
                raise StoreUnavailable from error

        async def reached_awaited() -> T:
            try:
                return await awaited()
            except self._clients.errors as error:
                self._log(error)
                raise StoreUnavailable from error

        return Do(reached, reached_awaited)

    def _log(self, error: Exception) -> None:
        """Log why the server cannot be reached; not for each call, which are many meanwhile."""
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + _LOG_SECONDS
            logger.error("The store cannot be reached: %s: %s", type(error).__name__, error)


def _limits(clients: RedisClients, strategy: str) -> Limits:
    """What counts by a strategy, with the connections of a store.

    The storages of the library `limits` make clients of their own, which do not connect as yet; the
    scripts are registered anew with ours.
    """
    made: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def limiter() -> Any:
        client = clients.client()
        known = made.get(client)
        if known is None:
            from limits import strategies
            from limits.storage import RedisStorage

            storage: Any = RedisStorage("redis://", key_prefix=_LIMITS_PREFIX)
            storage.storage = client
            storage.initialize_storage("redis://")
            known = made[client] = getattr(strategies, strategy)(storage)
        return known

    # A limiter refers to its client, so that a loop's is kept with the loop.
    of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    async def awaited_limiter() -> Any:
        loop = asyncio.get_running_loop()
        client = await clients.async_client()
        known = of_loops.get(loop)
        if known is None:
            from limits.aio import strategies
            from limits.aio.storage import RedisStorage

            storage: Any = RedisStorage(
                "async+redis://", implementation="redispy", key_prefix=_LIMITS_PREFIX
            )
            storage.bridge.storage = client
            storage.bridge.register_scripts()
            known = of_loops[loop] = getattr(strategies, strategy)(storage)
        return known

    return Limits(limiter, awaited_limiter)


def _seconds(answer: bytes | None) -> float | None:
    return None if answer is None else float(answer)


# The times of the calls in the window, the newest first. It returns in how many seconds there is
# room, or nothing if it has counted.
_MOVING: Final = """
local time = redis.call("time")
local now = time[1] + time[2] / 1000000
local limit, seconds, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if cost > limit then return tostring(seconds) end
local entry = redis.call("lindex", KEYS[1], limit - cost)
if entry and now - entry <= seconds then return tostring(entry + seconds - now) end
for i = 1, cost do redis.call("lpush", KEYS[1], string.format("%.6f", now)) end
redis.call("ltrim", KEYS[1], 0, limit - 1)
redis.call("expire", KEYS[1], seconds)
"""

_CLAIM: Final = """
if redis.call("get", KEYS[1]) == ARGV[1] then return 1 end
return redis.call("set", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) and 1 or 0
"""

_RELEASE: Final = """
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end
"""

# The last key marks that it was counted: the script is sent again if the answer got lost.
_COUNT: Final = f"""
local mark = KEYS[#KEYS]
if redis.call("exists", mark) == 1 then return -1 end
for i = 1, #KEYS - 1 do
  local limit = tonumber(ARGV[3 * i])
  local sum = tonumber(redis.call("get", KEYS[i]) or "0") + tonumber(ARGV[3 * i - 2])
  if limit and sum > limit then return i - 1 end
end
redis.call("set", mark, 1, "PX", {_MARK_MILLISECONDS})
for i = 1, #KEYS - 1 do
  redis.call("incrby", KEYS[i], ARGV[3 * i - 2])
  redis.call("pexpire", KEYS[i], ARGV[3 * i - 1])
end
return -1
"""
