"""The backplane of several processes: Redis or Valkey.

| key | type | what | kept |
|---|---|---|---|
| `…:s:{session}` | hash | `ended`, `level`, `uri:…` for subscriptions | as the session's token |
| `…:t:{task}` | hash | the record of a task | as the task |
| `…:t:{task}:a` | list | the answers to its questions, at most 1,000 | as the task |
| `…:log:{session}.{stream}` | hash | who writes the stream of a call | an hour, or `resume_ttl` |
| `…:log:{session}.{stream}:e` | list | its events, at most 1,000 | an hour, or `resume_ttl` |
| `…{}:changes` | stream | messages to all nodes, about 10,000 | until there are newer ones |
| `…{}:p:{pool}` | sorted set | the members of a pool, by when they are forgotten | as they |
| `…{}:p:{pool}:f` | sorted set | those of them that may go | as they |
| `…{}:p:{pool}:b` | hash | their sizes, and at "" the sum | as they |
| `…{}:n:{node}` | stream | messages to a node, about 1,000 | 30 s after its last sign of life |

Each begins with `mcp-mount:1:` and the name of the server; in those that are read together this is
in braces, so that a cluster has them in one place.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

from mcp_mount.backends.backplane.pool_scripts import ENTER, LEAVE
from mcp_mount.backends.backplane.redis_node import BEGIN, RedisNode, read_message
from mcp_mount.backends.redis_clients import RedisClients
from mcp_mount.calls.backplane import (
    UNTOUCHED,
    BackplaneNotAsked,
    BackplaneRefused,
    BackplaneUnavailable,
    Message,
    Pool,
    PoolEntry,
    Published,
    Record,
    SessionState,
)
from mcp_mount.calls.flows import Do

T = TypeVar("T")

Commands: TypeAlias = Generator[tuple[Any, ...], Any, T]
"""An operation: it yields commands, each a method of a client and its arguments, and gets the
answers."""

_PREFIX: Final = "mcp-mount:1"
"""What keys begin with; the number changes with what they hold, so that processes of two versions
do not disturb one another."""

_PLACE: Final = re.compile(r"\d{1,18}-\d{1,18}")

_MAX_CHANGES: Final = 10_000
_MAX_MESSAGES: Final = 1_000
_MAX_PUBLISHED: Final = 1_000
"""How many messages one look may find: who has missed more is told to look at everything."""

_CLOSED_SECONDS: Final = 1.0
"""For how long nothing is tried after a failure: otherwise each request would wait for as long as
one that is not answered, and with threads nothing else would be served."""


class RedisBackplane:
    """Connects the processes of a server by Redis or Valkey. Needs the extra `redis`.

    Args:
        url: Such as "redis://localhost:6379/0".
        server: Returns the name of the server, by which its keys begin.

    Raises:
        ValueError: If the URL is not one of `RedisClients`.
        MissingExtra: If redis-py is not installed.
    """

    shared = True

    def __init__(self, url: str, server: Callable[[], str]) -> None:
        self._clients = RedisClients(
            url, wanted_by=f"backplane={url.partition('://')[0]!r}", decode_responses=True
        )
        from redis.exceptions import ResponseError

        # Of a server that answers, such as one that is full: it may answer the next command.
        self._answered = ResponseError
        self._server = server
        self._closed_until = 0.0

    def session(self, session: str) -> Do[SessionState]:
        return self._do(self._session, self._key(f"s:{session}"))

    def end_session(self, session: str, *, ttl: float) -> Do[None]:
        return self._do(self._script, _END, self._key(f"s:{session}"), _ms(ttl))

    def set_log_level(self, session: str, level: str, *, ttl: float) -> Do[None]:
        key = self._key(f"s:{session}")
        return self._do(self._script, _NOTE_SESSION, key, _ms(ttl), "level", level)

    def subscribe(self, session: str, uri: str, *, on: bool, ttl: float) -> Do[None]:
        field = [f"uri:{uri}", "1"] if on else [f"uri:{uri}"]
        return self._do(self._script, _NOTE_SESSION, self._key(f"s:{session}"), _ms(ttl), *field)

    def subscribed(self, session: str) -> Do[frozenset[str]]:
        return self._do(self._subscribed, self._key(f"s:{session}"))

    def listen(self, node: str, hear: Callable[[Message], None]) -> Do[Callable[[], None]]:
        def reader() -> RedisNode:
            return RedisNode(self._clients, self._changes, self._node(node), hear)

        def begin() -> Callable[[], None]:
            made = reader()
            made.start()
            return made.stop

        async def begin_async() -> Callable[[], None]:
            made = reader()
            await made.start_async()
            return made.stop

        return Do(begin, begin_async)

    def publish(self, message: Message) -> Do[None]:
        return self._do(self._publish, json.dumps(message))

    def published(self, place: str | None) -> Do[Published]:
        return self._do(self._published, place if place and _PLACE.fullmatch(place) else None)

    def send(self, node: str, message: Message) -> Do[bool]:
        return self._do(self._send, self._node(node), json.dumps(message))

    def is_alive(self, node: str) -> Do[bool]:
        return self._do(self._exists, self._node(node))

    def record(self, key: str) -> Do[Record]:
        return self._do(self._record, self._key(key))

    def left(self, key: str) -> Do[float]:
        return self._do(self._left, self._key(key))

    def note(
        self, key: str, fields: Record, *, ttl: float, new: bool = False, final: str | None = None
    ) -> Do[bool]:
        words = [word for pair in fields.items() for word in pair]
        given = (_ms(ttl) if new else 0, final or "", *words)
        return self._do(self._script, _NOTE, self._key(key), *given)

    def append(self, key: str, items: Sequence[str], *, ttl: float, most: int) -> Do[None]:
        return self._do(self._script, _APPEND, self._key(key), _ms(ttl), -most, *items)

    def items(self, key: str, *, last: int | None = None) -> Do[Sequence[str]]:
        return self._do(self._items, self._key(key), 0 if last is None else -last)

    def forget(self, key: str) -> Do[None]:
        return self._do(self._forget, self._key(key))

    def enter(
        self, pools: Sequence[Pool], member: str, *, ttl: float, size: int = 0
    ) -> Do[PoolEntry]:
        return self._do(self._enter, pools, member, _ms(ttl), size)

    def leave(self, pools: Sequence[str], member: str, *, at_need: bool = False) -> Do[None]:
        return self._do(self._leave, pools, member, int(at_need))

    @property
    def _changes(self) -> str:
        return f"{_PREFIX}:{{{self._name}}}:changes"

    def _node(self, node: str) -> str:
        return f"{_PREFIX}:{{{self._name}}}:n:{node}"

    def _pools(self, names: Iterable[str]) -> list[str]:
        """The keys of pools, which are in one place of a cluster."""
        keys = [f"{_PREFIX}:{{{self._name}}}:p:{name}" for name in names]
        return [key for one in keys for key in (one, f"{one}:f", f"{one}:b")]

    def _key(self, name: str) -> str:
        return f"{_PREFIX}:{self._name}:{name}"

    @property
    def _name(self) -> str:
        return quote(self._server(), safe="")

    def _session(self, key: str) -> Commands[SessionState]:
        ended, level = yield "hmget", key, ["ended", "level"]
        if ended is None and level is None:
            return UNTOUCHED
        return SessionState(ended is not None, level)

    def _subscribed(self, key: str) -> Commands[frozenset[str]]:
        fields = yield "hkeys", key
        return frozenset(one[len("uri:") :] for one in fields if one.startswith("uri:"))

    def _publish(self, text: str) -> Commands[None]:
        yield "xadd", self._changes, {"m": text}, "*", _MAX_CHANGES

    def _published(self, place: str | None) -> Commands[Published]:
        if place is not None:
            # The message at the place itself is the proof that none after it was dropped.
            found = yield "xrange", self._changes, place, "+", _MAX_PUBLISHED + 2
            if found and found[0][0] == place and len(found) <= _MAX_PUBLISHED + 1:
                messages = [read_message(fields.get("m", "")) for _, fields in found[1:]]
                return Published([one for one in messages if one is not None], found[-1][0])
        last = yield "xrevrange", self._changes, "+", "-", 1
        if last:
            return Published([], last[0][0], is_complete=False)
        # A place needs a message, which is nobody's concern.
        return Published([], (yield "xadd", self._changes, BEGIN), is_complete=False)

    def _send(self, key: str, text: str) -> Commands[bool]:
        added = yield "xadd", key, {"m": text}, "*", _MAX_MESSAGES, True, True
        return added is not None

    def _exists(self, key: str) -> Commands[bool]:
        return bool((yield "exists", key))

    def _record(self, key: str) -> Commands[Record]:
        found: Record = yield "hgetall", key
        return found

    def _left(self, key: str) -> Commands[float]:
        # Below 0 for a key that is not there.
        milliseconds: int = yield "pttl", key
        return max(0, milliseconds) / 1000

    def _items(self, key: str, first: int) -> Commands[Sequence[str]]:
        found: Sequence[str] = yield "lrange", key, first, -1
        return found

    def _forget(self, key: str) -> Commands[None]:
        yield "delete", key

    def _enter(
        self, pools: Sequence[Pool], member: str, ttl: int, size: int
    ) -> Commands[PoolEntry]:
        keys = self._pools(pool.name for pool in pools)
        limits = [limit for pool in pools for limit in (pool.most, pool.most_size)]
        place, left, *dropped = yield "eval", ENTER, len(keys), *keys, member, ttl, size, *limits
        full = pools[int(place) - 1].name if int(place) else None
        return PoolEntry(full, int(left) / 1000, tuple(dropped))

    def _leave(self, pools: Sequence[str], member: str, at_need: int) -> Commands[None]:
        keys = self._pools(pools)
        yield "eval", LEAVE, len(keys), *keys, member, at_need

    def _script(self, script: str, key: str, *given: Any) -> Commands[Any]:
        done = yield "eval", script, 1, key, *given
        return bool(done)

    def _do(self, operation: Callable[..., Commands[T]], *given: Any) -> Do[T]:
        # The commands are made when the step is taken: it may be taken once more.
        return Do(lambda: self._run(operation(*given)), lambda: self._run_async(operation(*given)))

    def _run(self, commands: Commands[T]) -> T:
        self._refuse_while_closed()
        answer: Any = None
        try:
            client = self._clients.client()
            while True:
                name, *arguments = commands.send(answer)
                answer = getattr(client, name)(*arguments)
        except StopIteration as end:
            self._closed_until = 0.0
            value: T = end.value
            return value
        except self._clients.errors as error:
            raise self._unavailable(error) from error

    async def _run_async(self, commands: Commands[T]) -> T:
        self._refuse_while_closed()
        answer: Any = None
        try:
            client = await self._clients.async_client()
            while True:
                name, *arguments = commands.send(answer)
                answer = await getattr(client, name)(*arguments)
        except StopIteration as end:
            self._closed_until = 0.0
            value: T = end.value
            return value
        except self._clients.errors as error:
            raise self._unavailable(error) from error

    def _refuse_while_closed(self) -> None:
        """Fail at once for a while after a failure; one operation tries again then.

        Raises:
            BackplaneNotAsked: If it is not the time to try.
        """
        if self._closed_until:
            now = time.monotonic()
            if now < self._closed_until:
                raise BackplaneNotAsked("Redis did not answer a moment ago")
            self._closed_until = now + _CLOSED_SECONDS

    def _unavailable(self, error: BaseException) -> BackplaneUnavailable:
        if not isinstance(error, self._answered):
            self._closed_until = time.monotonic() + _CLOSED_SECONDS
        elif "WRONGTYPE" in str(error):
            return BackplaneRefused(str(error))
        return BackplaneUnavailable(str(error))


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


# Scripts run alone: what is noted of a session that has ended is dropped.
_NOTE_SESSION: Final = """
if redis.call('HEXISTS', KEYS[1], 'ended') == 1 then return 0 end
if ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
else
  redis.call('HDEL', KEYS[1], ARGV[2])
end
return 1
"""

_END: Final = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'ended', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""

_NOTE: Final = """
if ARGV[1] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
"""

_APPEND: Final = """
if ARGV[3] then redis.call('RPUSH', KEYS[1], unpack(ARGV, 3)) end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
