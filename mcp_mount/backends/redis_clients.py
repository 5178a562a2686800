"""Clients of Redis or Valkey: every connection to one is made here, from a URL.

redis-py is imported when a `RedisClients` is made, and nothing is connected before the first
command.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary, finalize

from mcp_mount.backends.redis_urls import read_redis_url
from mcp_mount.schemas.extras import requires
from mcp_mount.transports.lasting import keep
from mcp_mount.wire.forks import after_fork

TIMEOUT: Final = 2.0
"""Seconds to connect, and for each answer; redis-py before version 8 waits for ever."""

CONNECTIONS: Final = 16
"""The most connections of a process, and of each event loop. A command takes less than a
millisecond, so that few connections serve many calls."""

_POOL_SECONDS: Final = 5.0
"""How long a command waits for a free connection: longer than those that are in use may take."""

_RETRIES: Final = 2
"""How often a command is sent again, and within each of these how often the connection is tried
again, if it is refused. All of it takes about a second."""

_FAIL_OVER_SECONDS: Final = 10.0
"""How long a command is sent again where Sentinels name the master, and before that a connection
made. They name the old one, or none, until they have agreed on another. It is shorter than scripts
know their own work again."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.2

_PLAIN: Final = "redis"
_ASYNC: Final = "redis.asyncio"
_SENTINELS: Final = "mcp_mount.backends.redis_sentinels"

# A firewall, or the proxy of a cloud, forgets connections that say nothing for minutes, and tells
# nobody: the first command on each would wait for its timeout.
_KEEPALIVE: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class RedisClients:
    """Clients of one Redis or Valkey: a server, a cluster, or the master that Sentinels name.

    | URL | what it is |
    |---|---|
    | `redis://user:password@host:6379/0`, `valkey://…` | a server; the path is the database |
    | `rediss://…`, `valkeys://…` | the same by TLS |
    | `unix:///path/to/socket?db=0` | a server on the same machine |
    | `redis+cluster://host:6379,host2:6379` | a cluster, by some of its nodes |
    | `redis+sentinel://host:26379,host2:26379/mymaster/0` | the master of that name, by Sentinels |

    `rediss+cluster://`, `rediss+sentinel://` and the names with `valkey` work in the same way. User
    and password are those of the servers; `?sentinel_username=…&sentinel_password=…` those of the
    Sentinels. All other options of redis-py's connections may stand there as well, such as
    `?socket_timeout=5`, `max_connections=50`, `timeout=10` (to wait for a free connection) or
    `ssl_ca_certs=/path`.

    A connection that was lost is made anew and its command sent again, so that a restart, a
    fail-over or an idle cut-off fails no call. It is tried for about a second, and for about ten
    where Sentinels name the master. A command whose answer was lost runs twice then: scripts must
    know their own work again. A command that is not answered in two seconds is not sent again.

    It may be made before a fork: each process has connections of its own.

    Args:
        url: One of these.
        wanted_by: What needs it, for the error if redis-py is missing, such as "store='redis'".
        decode_responses: Whether texts come back as str.

    Attributes:
        is_cluster: Whether keys that a command or a script uses together need a common `{tag}`.
        errors: What is raised by commands of a server that is away, silent, busy or full.

    Raises:
        ValueError: If the URL is not one of these, or an option in it is unknown.
        MissingExtra: If redis-py is not installed.
    """

    def __init__(self, url: str, *, wanted_by: str, decode_responses: bool = False) -> None:
        self._address = read_redis_url(url)
        self._decode_responses = decode_responses
        self.is_cluster = self._address.kind == "cluster"
        with requires("redis", wanted_by):
            import redis

            import_module(_ASYNC)
        # Exceptions of clusters are no RedisErrors in version 5.
        self.errors: tuple[type[Exception], ...] = (
            redis.RedisError,
            redis.exceptions.RedisClusterException,
            OSError,
        )
        # That of the threads, when it has been made.
        self._clients: list[Any] = []
        # Connections belong to their event loop.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._check_options()
        after_fork(self.forget)
        # What a garbage collection finds together with its connections cannot close them.
        finalize(self, _close_all, self._clients, self._loops).atexit = False

    def client(self) -> Any:
        """The client for all threads of this process; made when it is first needed.

        Returns:
            A `redis.Redis`, or a `redis.RedisCluster`.
        """
        if not self._clients:
            with self._lock:
                if not self._clients:
                    self._clients.append(self.connect())
        return self._clients[0]

    async def async_client(self) -> Any:
        """The client of the running event loop; closed with the loop.

        Returns:
            A `redis.asyncio.Redis`, or a `redis.asyncio.RedisCluster`.
        """
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _OfLoop(self.connect_async())
            await anext(here.closing)
        return here.client

    def connect(
        self,
        *,
        timeout: float = TIMEOUT,
        max_connections: int = CONNECTIONS,
        retries: bool = True,
    ) -> Any:
        """A client for threads that nobody else has, such as one whose commands block.

        Args:
            timeout: Seconds for each answer, unless the URL sets `socket_timeout`; more than a
                blocking command waits.
            max_connections: The most that it opens; a cluster has as many as are needed.
            retries: Whether to send a command again on another connection where one was lost.

        Returns:
            A `redis.Redis`, or a `redis.RedisCluster`, which connects at once. The caller closes
            it.
        """
        return self._connect(_PLAIN, timeout, max_connections, retries)

    def answer_seconds(self, timeout: float) -> float | None:
        """How long a client made by `connect(timeout=timeout)` waits for an answer.

        Args:
            timeout: As that of `connect`.

        Returns:
            Seconds; None without a limit.
        """
        seconds: float | None = self._options(_PLAIN, timeout, 1, True)["socket_timeout"]
        return seconds

    def connect_async(self, *, timeout: float = TIMEOUT, max_connections: int = CONNECTIONS) -> Any:
        """A client for the running event loop that nobody else has.

        Args:
            timeout: Seconds for each answer, unless the URL sets `socket_timeout`; more than a
                blocking command waits.
            max_connections: The most that it opens; a cluster has as many as are needed.

        Returns:
            A `redis.asyncio.Redis`, or a `redis.asyncio.RedisCluster`. The caller closes it.
        """
        return self._connect(_ASYNC, timeout, max_connections, True)

    def forget(self) -> None:
        """Drop what belongs to the process before a fork. What its event loops have stays: to close
        it would take it out of the selector, which both processes share."""
        self._clients.clear()
        self._lock = threading.Lock()

    def _connect(self, library: str, timeout: float, max_connections: int, retries: bool) -> Any:
        address = self._address
        redis: Any = import_module(library)
        options = self._options(library, timeout, max_connections, retries)
        if self.is_cluster:
            node = import_module(f"{library}.cluster").ClusterNode
            nodes = [node(host, port) for host, port in address.hosts]
            return redis.RedisCluster(startup_nodes=nodes, **options)
        if address.kind is None:
            pools: Any = import_module("mcp_mount.backends.redis_pools")
            pool = pools.AsyncPool if library == _ASYNC else redis.BlockingConnectionPool
            return redis.Redis.from_pool(pool(**options))
        module: Any = import_module(_SENTINELS)
        kind, pool = (
            (module.AsyncSentinels, module.AsyncSentinelPool)
            if library == _ASYNC
            else (module.Sentinels, module.SentinelPool)
        )
        asked = _taken_for_sentinels(library, options)
        sentinels = kind(address.hosts, sentinel_kwargs=asked, **options)
        return sentinels.master_for(address.master, connection_pool_class=pool)

    def _options(
        self, library: str, timeout: float, max_connections: int, retries: bool
    ) -> dict[str, Any]:
        """The arguments of a pool, or of a client of a cluster: the URL says the last word."""
        module: Any = import_module(f"{library}.connection")
        given: dict[str, Any] = module.parse_url(self._address.url)
        options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": TIMEOUT}
        options["retry"] = _retry(library, _RETRIES if retries else 0)
        pool_seconds = _POOL_SECONDS
        if self._address.kind == "sentinel" and retries:
            options["retry"] = _timed_retry(library, _FAIL_OVER_SECONDS)
            # The connections may be in use for as long as the fail-over takes.
            pool_seconds += _FAIL_OVER_SECONDS
        if self._decode_responses:
            # Bytes of somebody else's are read as what they are not: they must not keep a reader
            # from what comes after them.
            options |= {"decode_responses": True, "encoding_errors": "replace"}
        if "path" not in given:
            options |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
        if self.is_cluster:
            # redis-py has no pool for them in which calls wait.
            options["max_connections"] = 2**31
        else:
            # Version 5 asks for the errors in two places.
            options |= {"max_connections": max_connections, "timeout": pool_seconds}
            options["retry_on_error"] = list(_lost()) if retries else []
        if self._address.kind is not None:
            for name in ("host", "port"):
                given.pop(name, None)
            if given.pop("connection_class", None) is not None:
                options["ssl"] = True
        return {**options, **given}

    def _check_options(self) -> None:
        """Make what connects, which says that it does not know an option. It does not connect.

        Raises:
            ValueError: If that is so.
        """
        try:
            client = self._connect(_ASYNC, TIMEOUT, 1, True)
            if not self.is_cluster:
                client.connection_pool.make_connection()
        except TypeError as error:
            raise ValueError(f"an option of the URL is unknown to redis-py: {error}") from None


class _OfLoop:
    """A client of one event loop.

    Attributes:
        closing: An asynchronous generator at its `yield`: an event loop closes those that are left
            when it ends.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.closing = self._close()

    async def _close(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.aclose()


def _close_all(
    clients: list[Any], loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop]
) -> None:
    for client in clients:
        client.close()
    for loop, here in list(loops.items()):
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_close_soon, here)


def _close_soon(here: _OfLoop) -> None:
    keep(asyncio.ensure_future(here.closing.aclose()))


def _taken_for_sentinels(library: str, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments for the connections to Sentinels; their own are taken out of `options`."""
    shared = {name: one for name, one in options.items() if name.startswith(("socket_", "ssl"))}
    for name in ("username", "password"):
        if f"sentinel_{name}" in options:
            shared[name] = options.pop(f"sentinel_{name}")
    # The next one is asked instead of a Sentinel that is away.
    return {**shared, "retry": _retry(library, 1)}


def _retry(library: str, times: int) -> Any:
    return import_module(f"{library}.retry").Retry(_backoff(), times, _lost())


def _timed_retry(library: str, seconds: float) -> Any:
    module: Any = import_module(_SENTINELS)
    retry = module.AsyncTimedRetry if library == _ASYNC else module.TimedRetry
    return retry(seconds, _backoff(), _lost())


def _backoff() -> Any:
    return import_module("mcp_mount.backends.redis_pauses").RetryPauses(
        _FIRST_PAUSE, _LONGEST_PAUSE
    )


def _lost() -> tuple[type[Exception], ...]:
    """What is raised if a connection is lost, or refused, or leads to a server that is a replica by
    now. A timeout is none of these: whoever calls would wait several times as long."""
    errors = import_module("redis.exceptions")
    replica = errors.ReadOnlyError, errors.MasterDownError
    return errors.ConnectionError, *replica, ConnectionError, FileNotFoundError
