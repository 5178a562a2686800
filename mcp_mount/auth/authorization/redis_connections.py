"""Connections in Redis or Valkey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, Final

from pydantic_core import from_json, to_json

from mcp_mount.auth.authorization.connections import MAX_LISTED, Connection
from mcp_mount.schemas.extras import requires

_PREFIX: Final = "mcp-mount:signin:"
_KEPT_SECONDS: Final = 181 * 24 * 3600
"""How long a connection is kept that nobody uses or revokes: no connection is good for longer."""

_CHANGE: Final = """
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local row = cjson.decode(held)
if row.revoked ~= cjson.null then return 0 end
if ARGV[1] == 'rotate' then
  if row.generation ~= tonumber(ARGV[2]) then return 0 end
  row.generation = row.generation + 1
  row.used = tonumber(ARGV[3])
  row.stamp = ARGV[4]
else
  row.revoked = tonumber(ARGV[2])
end
redis.call('SET', KEYS[1], cjson.encode(row), 'KEEPTTL')
return 1
"""
"""Changes a connection that is not revoked; it runs alone, so that of two callers one is told 1."""


class RedisConnections:
    """Keeps connections in Redis or Valkey. Needs the extra `redis`.

    A connection is a JSON text at `mcp-mount:signin:c:{id}`; the ids of a person's connections are
    a set at `mcp-mount:signin:u:{user}`, and all ids one at `mcp-mount:signin:all`.

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
        row = to_json(asdict(connection)).decode()
        if not self._client.set(_key(connection.id), row, nx=True, ex=_KEPT_SECONDS):
            return False
        pipe = self._client.pipeline(transaction=False)
        for index in (_index(connection.user), _index(None)):
            pipe.sadd(index, connection.id)
            pipe.expire(index, _KEPT_SECONDS)
        pipe.execute()
        return True

    def get(self, id: str) -> Connection | None:
        return _connection(self._client.get(_key(id)))

    def rotate(self, id: str, generation: int, used: float, stamp: str) -> bool:
        return self._change(id, "rotate", generation, repr(used), stamp)

    def revoke(self, id: str, at: float) -> bool:
        return self._change(id, "revoke", repr(at))

    def list(self, user: str | None = None) -> Sequence[Connection]:
        held = [one for one in self._all(_index(user)).values() if one is not None]
        own = [one for one in held if one.revoked is None]
        return sorted(own, key=lambda one: one.created, reverse=True)[:MAX_LISTED]

    def purge(self, before: float) -> int:
        count = 0
        for id, held in self._all(_index(None)).items():
            if held is None:
                self._client.srem(_index(None), id)
            elif (held.used if held.revoked is None else held.revoked) < before:
                count += self._client.delete(_key(id))
                self._client.srem(_index(None), id)
                self._client.srem(_index(held.user), id)
        return count

    def _change(self, id: str, *arguments: Any) -> bool:
        return bool(self._client.eval(_CHANGE, 1, _key(id), *arguments))

    def _all(self, index: str) -> dict[str, Connection | None]:
        """The connections of an index; None for those that have expired."""
        ids = list(self._client.smembers(index))
        rows = [self._client.get(_key(one)) for one in ids]
        return {id: _connection(row) for id, row in zip(ids, rows, strict=True)}


def _key(id: str) -> str:
    return f"{_PREFIX}c:{id}"


def _index(user: str | None) -> str:
    return f"{_PREFIX}all" if user is None else f"{_PREFIX}u:{user}"


def _connection(row: str | None) -> Connection | None:
    if row is None:
        return None
    values = from_json(row)
    # Lua writes an empty list as {}, and whole numbers without a fraction.
    made = Connection(**{**values, "scopes": tuple(values["scopes"] or ())})
    return replace(made, created=float(made.created), used=float(made.used))
