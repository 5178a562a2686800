"""Pools in Redis: scripts, which run alone, so that however many processes take places at a time no
pool ever has more members than it may.

Three keys for each pool: its members by the time when they are forgotten, those of them that may
go, and their sizes. The clock is that of Redis, which all processes share.
"""

from __future__ import annotations

from typing import Final

_DROP: Final = """
local function drop(pool, member)
  redis.call('ZREM', KEYS[pool], member)
  redis.call('ZREM', KEYS[pool + 1], member)
  local size = redis.call('HGET', KEYS[pool + 2], member)
  if size then
    redis.call('HDEL', KEYS[pool + 2], member)
    redis.call('HINCRBY', KEYS[pool + 2], '', -size)
  end
end
"""

ENTER: Final = (
    _DROP
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local member, ttl, size = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {0, 0}
for pool = 1, #KEYS, 3 do
  local number = (pool + 2) / 3
  local most, most_size = tonumber(ARGV[2 + 2 * number]), tonumber(ARGV[3 + 2 * number])
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[pool], '-inf', now)) do drop(pool, one) end
  local is_new = not redis.call('ZSCORE', KEYS[pool], member)
  local own = tonumber(redis.call('HGET', KEYS[pool + 2], member) or '0')
  local needed = is_new and math.max(size, 1) or size - own
  while (is_new and redis.call('ZCARD', KEYS[pool]) >= most)
    or (needed > 0
      and tonumber(redis.call('HGET', KEYS[pool + 2], '') or '0') + needed > most_size) do
    local first = redis.call('ZRANGE', KEYS[pool + 1], 0, 0)[1]
    if not first or first == member then
      local soonest = redis.call('ZRANGE', KEYS[pool], 0, 0, 'WITHSCORES')
      answer[1], answer[2] = number, soonest[2] and soonest[2] - now or 0
      return answer
    end
    for other = 1, #KEYS, 3 do drop(other, first) end
    answer[#answer + 1] = first
  end
end
for pool = 1, #KEYS, 3 do
  redis.call('ZADD', KEYS[pool], 'NX', now + ttl, member)
  local own = tonumber(redis.call('HGET', KEYS[pool + 2], member) or '0')
  if size ~= own then
    redis.call('HSET', KEYS[pool + 2], member, size)
    redis.call('HINCRBY', KEYS[pool + 2], '', size - own)
  end
  for key = pool, pool + 2 do
    if redis.call('PTTL', KEYS[key]) < ttl then redis.call('PEXPIRE', KEYS[key], ttl) end
  end
end
return answer
"""
)
"""Takes places in pools. ARGV has the member, its time to live in milliseconds and its size, then
for each pool the most members and their most size. Returns the number of the pool that is full, or
0; the milliseconds until that has room at the latest; and the members that had to go."""

LEAVE: Final = (
    _DROP
    + """
for pool = 1, #KEYS, 3 do
  local forgotten = redis.call('ZSCORE', KEYS[pool], ARGV[1])
  if forgotten and ARGV[2] == '1' then
    redis.call('ZADD', KEYS[pool + 1], forgotten, ARGV[1])
    local ttl = redis.call('PTTL', KEYS[pool])
    if redis.call('PTTL', KEYS[pool + 1]) < ttl then redis.call('PEXPIRE', KEYS[pool + 1], ttl) end
  elseif forgotten then
    drop(pool, ARGV[1])
  end
end
return 0
"""
)
"""Gives places back: at once, or where others need them."""
