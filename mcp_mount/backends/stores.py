"""Where counts and cached results are kept: in this process, or in Redis for all processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from mcp_mount.calls.flows import Do
from mcp_mount.calls.results import Result
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.values import like

_PREFIX: Final = "mcp-mount:"
_SLACK_SECONDS: Final = 60.0
_ENTRY_BYTES: Final = 300
_LIMITS_PREFIX: Final = f"{_PREFIX}limits"

_STRATEGIES: Final = {
    "moving-window": "MovingWindowRateLimiter",
    "fixed-window": "FixedWindowRateLimiter",
    "sliding-window-counter": "SlidingWindowCounterRateLimiter",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts by one strategy of the library `limits`.

    Attributes:
        limiter: Counts on a thread.
        awaited_limiter: Returns what counts on the running event loop; None if counting takes no
            time.
    """

    limiter: Any
    awaited_limiter: Callable[[], Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """What is to be added to a number that a store keeps.

    Attributes:
        key: Of the number, which begins at 0.
        amount: May be below 0.
        ttl: For how many seconds the number is kept from now on.
        limit: What it must not exceed then; None for no limit.
    """

    key: str
    amount: int
    ttl: float
    limit: int | None = None


class Store(Protocol):
    """Keeps values by their keys for some time, in seconds.

    Attributes:
        shared: Whether all processes have it in common.
    """

    shared: bool

    def get(self, keys: Sequence[str]) -> Do[list[Any]]:
        """The values; None for those that are not there, or no more."""

    def set(self, key: str, value: Any, ttl: float) -> Do[None]: ...

    def keeps_for(self, ttl: float) -> None:
        """Note that there are values that are kept so long."""

    def claim(self, key: str, token: str, ttl: float) -> Do[bool]:
        """Take a key if nobody has it, and tell whether that was so."""

    def release(self, key: str, token: str) -> Do[None]:
        """Give up a key that was claimed with `token`."""

    def count(self, counts: Sequence[Count]) -> Do[int]:
        """Add to several numbers, or to none if one would exceed its limit.

        Returns:
            The place of the first that would; -1 if none does.
        """

    def limits(self, strategy: str) -> Limits: ...


_is_store: Final = like(Store, "the URL of a store, or a Store")


def store_of(url: str | Store | None) -> Store:
    """The store at a URL.

    Args:
        url: "memory://", "redis://host:6379/0", "rediss://…" or "unix://…"; a store is returned as
            it is, and None means a store in this process.

    Raises:
        DefinitionError: If it is neither a URL nor a store.
        ValueError: If the URL is of another kind.
        MissingExtra: If its library is not installed.
    """
    if url is None:
        return MemoryStore()
    if not isinstance(url, str):
        store: Store = _is_store("store", url)
        return store
    if url == "memory://":
        return MemoryStore()
    if url.partition("://")[0] not in ("redis", "rediss", "unix"):
        raise ValueError(f"store is memory:// or the URL of a Redis server, not {url!r}")
    return RedisStore(url)


class MemoryStore:
    """A store in this process.

    Args:
        max_bytes: How large all results together may be, encoded; the oldest are dropped.
    """

    shared = False

    def __init__(self, *, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._most = max_bytes
        self._bytes = 0
        self._longest = 0.0
        self._values: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._versions: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._counts: dict[str, tuple[float, int]] = {}
        self._next_sweep = 0.0
        self._lock = threading.Lock()
        self._limits: dict[str, Limits] = {}

    def get(self, keys: Sequence[str]) -> Do[list[Any]]:
        return Do(partial(self._get, keys))

    def set(self, key: str, value: Any, ttl: float) -> Do[None]:
        return Do(partial(self._set, key, value, ttl))

    def keeps_for(self, ttl: float) -> None:
        self._longest = max(self._longest, ttl)

    def claim(self, key: str, token: str, ttl: float) -> Do[bool]:
        return Do(lambda: True)

    def release(self, key: str, token: str) -> Do[None]:
        return Do(lambda: None)

    def count(self, counts: Sequence[Count]) -> Do[int]:
        return Do(partial(self._count, counts))

    def limits(self, strategy: str) -> Limits:
        with self._lock:
            known = self._limits.get(strategy)
            if known is None:
                from limits import strategies

                from mcp_mount.backends.memory_counts import MemoryCounts

                kind = getattr(strategies, _STRATEGIES[strategy])
                known = self._limits[strategy] = Limits(kind(MemoryCounts()))
            return known

    def _get(self, keys: Sequence[str]) -> list[Any]:
        now = time.monotonic()
        found: list[Any] = []
        with self._lock:
            for key in keys:
                expires, value = self._table(key).get(key, (0.0, None))
                found.append(value if expires > now else None)
        return found

    def _count(self, counts: Sequence[Count]) -> int:
        now = time.monotonic()
        with self._lock:
            if now >= self._next_sweep:
                self._next_sweep = now + _SLACK_SECONDS
                self._counts = {key: one for key, one in self._counts.items() if one[0] > now}
            known = [self._counts.get(one.key, (0.0, 0)) for one in counts]
            sums = [
                one.amount + (number if expires > now else 0)
                for one, (expires, number) in zip(counts, known, strict=True)
            ]
            for place, (one, total) in enumerate(zip(counts, sums, strict=True)):
                if one.limit is not None and total > one.limit:
                    return place
            for one, total in zip(counts, sums, strict=True):
                self._counts[one.key] = now + one.ttl, total
        return -1

    def _set(self, key: str, value: Any, ttl: float) -> None:
        now = time.monotonic()
        with self._lock:
            if _is_version(key):
                # It must be known as long as there may be a value that it makes void.
                self._versions.pop(key, None)
                self._versions[key] = (now + min(ttl, self._longest + _SLACK_SECONDS), value)
                while next(iter(self._versions.values()))[0] <= now:
                    self._versions.popitem(last=False)
                return
            self._bytes -= _size(self._values.pop(key, (0.0, None))[1])
            if _size(value) > self._most:
                return
            self._values[key] = (now + ttl, value)
            self._bytes += _size(value)
            while self._values and (
                next(iter(self._values.values()))[0] <= now or self._bytes > self._most
            ):
                _, (_, gone) = self._values.popitem(last=False)
                self._bytes -= _size(gone)

    def _table(self, key: str) -> OrderedDict[str, tuple[float, Any]]:
        return self._versions if _is_version(key) else self._values


def _is_version(key: str) -> bool:
    return key.startswith("version:")


def _size(value: Any) -> int:
    """How much room a value takes, about; each has some for its key."""
    if value is None:
        return 0
    return _ENTRY_BYTES + len(value.members if isinstance(value, Result) else value)


class RedisStore:
    """A store in Redis, or Valkey, for all processes that have its URL. Values are bytes."""

    shared = True

    def __init__(self, url: str) -> None:
        with requires("redis", f"store={url.partition('://')[0]!r}"):
            import redis
            import redis.asyncio
        self._url = url
        self._client: Any = redis.Redis.from_url(url)
        self._connect = partial(redis.asyncio.Redis.from_url, url)
        # Connections belong to their event loop.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connection] = WeakKeyDictionary()
        self._limits: dict[str, Limits] = {}

    def get(self, keys: Sequence[str]) -> Do[list[Any]]:
        return self._command("mget", [_PREFIX + key for key in keys])

    def set(self, key: str, value: Any, ttl: float) -> Do[None]:
        return self._command("set", _PREFIX + key, value, px=max(1, int(ttl * 1000)))

    def keeps_for(self, ttl: float) -> None:
        """Other processes may keep theirs for longer."""

    def claim(self, key: str, token: str, ttl: float) -> Do[bool]:
        return self._command("set", _PREFIX + key, token, px=int(ttl * 1000), nx=True)

    def release(self, key: str, token: str) -> Do[None]:
        return self._command("eval", _RELEASE, 1, _PREFIX + key, token)

    def count(self, counts: Sequence[Count]) -> Do[int]:
        keys = [_PREFIX + one.key for one in counts]
        given: list[Any] = []
        for one in counts:
            limit = "" if one.limit is None else one.limit
            given += [one.amount, max(1, int(one.ttl * 1000)), limit]
        return self._command("eval", _COUNT, len(keys), *keys, *given)

    def limits(self, strategy: str) -> Limits:
        known = self._limits.get(strategy)
        if known is None:
            from limits import strategies
            from limits.storage import RedisStorage

            storage: Any = RedisStorage(
                self._url, connection_pool=self._client.connection_pool, key_prefix=_LIMITS_PREFIX
            )
            limiter = getattr(strategies, _STRATEGIES[strategy])(storage)
            known = Limits(limiter, partial(self._limiter, _STRATEGIES[strategy]))
            self._limits[strategy] = known
        return known

    async def _limiter(self, strategy: str) -> Any:
        """What counts on the running event loop."""
        here = await self._here()
        if strategy not in here.limiters:
            from limits.aio import strategies
            from limits.aio.storage import RedisStorage

            storage: Any = RedisStorage(
                f"async+{self._url}",
                implementation="redispy",
                key_prefix=_LIMITS_PREFIX,
                connection_pool=here.client.connection_pool,
            )
            here.limiters[strategy] = getattr(strategies, strategy)(storage)
        return here.limiters[strategy]

    def _command(self, name: str, *args: Any, **options: Any) -> Do[Any]:
        async def awaited() -> Any:
            return await getattr((await self._here()).client, name)(*args, **options)

        return Do(lambda: getattr(self._client, name)(*args, **options), awaited)

    async def _here(self) -> _Connection:
        """The connection of the running event loop, which is closed with the loop."""
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _Connection(self._connect())
            await anext(here.closing)
        return here


class _Connection:
    """A client of one event loop, and what counts with it.

    Attributes:
        closing: An asynchronous generator at its `yield`: an event loop closes those that are left
            when it ends.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.limiters: dict[str, Any] = {}
        self.closing = self._close()

    async def _close(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.aclose()


_COUNT: Final = """
for i = 1, #KEYS do
  local limit = tonumber(ARGV[3 * i])
  local sum = tonumber(redis.call("get", KEYS[i]) or "0") + tonumber(ARGV[3 * i - 2])
  if limit and sum > limit then return i - 1 end
end
for i = 1, #KEYS do
  redis.call("incrby", KEYS[i], ARGV[3 * i - 2])
  redis.call("pexpire", KEYS[i], ARGV[3 * i - 1])
end
return -1
"""

_RELEASE: Final = """
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end
"""
