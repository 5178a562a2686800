"""Where counts and cached results are kept. Here: in this process; `redis_store.py`: in Redis."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, Protocol

from mcp_mount.backends.redis_urls import is_redis_url
from mcp_mount.calls.flows import Do
from mcp_mount.calls.results import Result
from mcp_mount.schemas.values import like
from mcp_mount.wire.errors import CallRejected
from mcp_mount.wire.forks import after_fork

_SLACK_SECONDS: Final = 60.0
_ENTRY_BYTES: Final = 300
_LATER_SECONDS: Final = 5

STRATEGIES: Final = {
    "moving-window": "MovingWindowRateLimiter",
    "fixed-window": "FixedWindowRateLimiter",
    "sliding-window-counter": "SlidingWindowCounterRateLimiter",
}


class StoreUnavailable(CallRejected):
    """A store in another process is away, silent, busy or full: the call may succeed later."""

    def __init__(self) -> None:
        super().__init__(
            "The server cannot reach its store at the moment: "
            f"try again in {_LATER_SECONDS} seconds",
            status=503,
            retry_after=_LATER_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts by one strategy of the library `limits`.

    Attributes:
        limiter: Returns what counts on a thread.
        awaited_limiter: Returns what counts on the running event loop; None if counting takes no
            time.
    """

    limiter: Callable[[], Any]
    awaited_limiter: Callable[[], Awaitable[Any]] | None = None

    def count(self, rate: Any, name: str, key: str, cost: int) -> Do[float | None]:
        """Count something, if it does not come too often.

        Args:
            rate: What is allowed, of the library `limits`.
            name: Of the counts.
            key: Of the count.
            cost: How much it counts.

        Returns:
            In how many seconds it may come again; None if it was not too often.
        """
        counted = rate, name, key

        def do() -> float | None:
            limiter = self.limiter()
            if limiter.hit(*counted, cost=cost):
                return None
            reset: float = limiter.get_window_stats(*counted).reset_time
            return max(0.0, reset - time.time())

        async def awaited() -> float | None:
            assert self.awaited_limiter is not None, "it is asked only if there is one"
            limiter = await self.awaited_limiter()
            if await limiter.hit(*counted, cost=cost):
                return None
            reset: float = (await limiter.get_window_stats(*counted)).reset_time
            return max(0.0, reset - time.time())

        return Do(do, None if self.awaited_limiter is None else awaited)


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

    Its operations raise StoreUnavailable if the store is somewhere else and cannot be reached.

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

        Args:
            counts: The numbers. Their keys have a common `{tag}`, by which a cluster keeps them
                together.

        Returns:
            The place of the first that would; -1 if none does.
        """

    def rate(self, strategy: str, rate: Any, name: str, key: str, cost: int) -> Do[float | None]:
        """Count something, if it does not come too often: as `Limits.count`."""

    def limits(self, strategy: str) -> Limits:
        """What counts by a strategy of the library `limits`."""


_is_store: Final = like(Store, "the URL of a store, or a Store")


def store_of(url: str | Store | None) -> Store:
    """The store at a URL.

    Args:
        url: "memory://", or that of a Redis or Valkey, as `RedisClients` lists them; a store is
            returned as it is, and None means a store in this process.

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
    if not is_redis_url(url):
        # Not the rest of it, which may have a password.
        scheme = url.partition("://")[0]
        raise ValueError(f"store is memory:// or the URL of a Redis server, not {scheme!r}")
    made: Store = import_module("mcp_mount.backends.redis_store").RedisStore(url)
    return made


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
        self._unlock()
        after_fork(self._unlock)
        self._limits: dict[str, Limits] = {}

    def _unlock(self) -> None:
        self._lock = threading.Lock()

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

    def rate(self, strategy: str, rate: Any, name: str, key: str, cost: int) -> Do[float | None]:
        return self.limits(strategy).count(rate, name, key, cost)

    def limits(self, strategy: str) -> Limits:
        with self._lock:
            known = self._limits.get(strategy)
            if known is None:
                from limits import strategies

                from mcp_mount.backends.memory_counts import MemoryCounts

                kind = getattr(strategies, STRATEGIES[strategy])
                limiter = kind(MemoryCounts())
                known = self._limits[strategy] = Limits(lambda: limiter)
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
