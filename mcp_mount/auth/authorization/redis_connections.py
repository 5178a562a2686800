"""Connections in Redis or Valkey."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from math import ceil
from secrets import token_urlsafe
from typing import Any, Final

from mcp_mount.auth.authorization.connections import Connection, chosen
from mcp_mount.schemas.extras import requires

_PREFIX: Final = "mcp-mount:signin:"
_KEPT_SECONDS: Final = 400 * 24 * 3600
"""How long a connection is kept that nobody changes, where `purge` does not delete it before."""

# Scripts run alone: of several callers one is told 1. Each call has a mark of its own, by which a
# script knows its own work again: the client sends a command twice if the answer got lost.
_ADD: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'added_by') == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'added_by', ARGV[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[2])
for place = 2, 3 do
  redis.call('SADD', KEYS[place], ARGV[3])
  redis.call('EXPIRE', KEYS[place], ARGV[2])
end
return 1
"""

_CHANGE: Final = """
if redis.call('HGET', KEYS[1], 'changed_by') == ARGV[1] then return 1 end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('HEXISTS', KEYS[1], 'revoked') == 1 then return 0 end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'generation') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'changed_by', ARGV[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

_RETIRE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""


class RedisConnections:
    """Keeps connections in Redis or Valkey. Needs the extra `redis`.

    A connection is a hash at `mcp-mount:signin:c:{id}`; the ids of a person's connections are a set
    at `mcp-mount:signin:u:{user}`, and all ids one at `mcp-mount:signin:all`. A retired id is a
    text at `mcp-mount:signin:r:{id}`, which expires by itself.

    Args:
        url: Such as "redis://localhost:6379/0".
    """

    is_shared = True

    def __init__(self, url: str) -> None:
        with requires("redis", "store='redis://…' of SignIn"):
            import redis
        self._redis: Any = redis
        self._url = url

    @cached_property
    def _client(self) -> Any:
        # The first use: after a fork, if the web server forks.
        return self._redis.Redis.from_url(
            self._url,
            decode_responses=True,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=self._redis.retry.Retry(self._redis.backoff.ExponentialBackoff(1, 0.05), 2),
        )

    def add(self, connection: Connection) -> bool:
        keys = (_key(connection.id), _index(connection.user), _index(None))
        fields = [one for pair in _row(connection).items() for one in pair]
        given = (token_urlsafe(8), _KEPT_SECONDS, connection.id, *fields)
        return bool(self._client.eval(_ADD, len(keys), *keys, *given))

    def get(self, id: str) -> Connection | None:
        return _connection(self._client.hgetall(_key(id)))

    def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
        values = {"generation": str(generation + 1), "used": repr(used), "stamp": stamp}
        return self._change(id, str(generation), values)

    def revoke(self, id: str, at: float) -> bool:
        return self._change(id, "", {"revoked": repr(at)})

    def list(self, user: str | None = None, client: str | None = None) -> Sequence[Connection]:
        held = [one for one in self._all(_index(user)).values() if one is not None]
        return chosen(held, user, client)

    def purge(self, before: float, revoked: float | None = None) -> int:
        count = 0
        for id, held in self._all(_index(None)).items():
            if held is None:
                self._client.srem(_index(None), id)
            elif held.has_ended(before, before if revoked is None else revoked):
                count += self._client.delete(_key(id))
                self._client.srem(_index(None), id)
                self._client.srem(_index(held.user), id)
        return count

    def retire(self, id: str, until: float) -> bool:
        seconds = max(1, ceil(until - time.time()))
        given = (token_urlsafe(8), seconds)
        return bool(self._client.eval(_RETIRE, 1, f"{_PREFIX}r:{id}", *given))

    def is_retired(self, id: str) -> bool:
        return bool(self._client.exists(f"{_PREFIX}r:{id}"))

    def _change(self, id: str, generation: str, values: Mapping[str, str]) -> bool:
        fields = [one for pair in values.items() for one in pair]
        given = (token_urlsafe(8), _KEPT_SECONDS, generation, *fields)
        return bool(self._client.eval(_CHANGE, 1, _key(id), *given))

    def _all(self, index: str) -> dict[str, Connection | None]:
        """The connections of an index; None for those that have expired."""
        ids = list(self._client.smembers(index))
        pipe = self._client.pipeline(transaction=False)
        for id in ids:
            pipe.hgetall(_key(id))
        return {id: _connection(row) for id, row in zip(ids, pipe.execute(), strict=True)}


def _key(id: str) -> str:
    return f"{_PREFIX}c:{id}"


def _index(user: str | None) -> str:
    return f"{_PREFIX}all" if user is None else f"{_PREFIX}u:{user}"


def _row(connection: Connection) -> dict[str, str]:
    """The fields of a hash: those that are None are left out, and all others are texts."""
    row = {name: str(value) for name, value in asdict(connection).items() if value is not None}
    return {**row, "scopes": " ".join(connection.scopes)}


def _connection(row: Mapping[str, str]) -> Connection | None:
    if not row:
        return None
    revoked = row.get("revoked")
    return Connection(
        id=row["id"],
        user=row["user"],
        client=row["client"],
        client_name=row["client_name"],
        client_host=row.get("client_host"),
        resource=row["resource"],
        scopes=tuple(row["scopes"].split()),
        stamp=row["stamp"],
        created=float(row["created"]),
        used=float(row["used"]),
        generation=int(row["generation"]),
        revoked=None if revoked is None else float(revoked),
    )
