"""URLs of Redis and Valkey."""

from __future__ import annotations

import pytest

from mcp_mount.backends.redis_clients import RedisClients
from mcp_mount.backends.redis_urls import (
    RedisAddress,
    is_redis_url,
    read_redis_url,
    shown_redis_url,
)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", RedisAddress("redis://host")),
        ("valkey://host:1/2?db=3", RedisAddress("redis://host:1/2?db=3")),
        ("valkeys://me:pw@host/0", RedisAddress("rediss://me:pw@host/0")),
        ("unix:///tmp/x?db=1", RedisAddress("unix:///tmp/x?db=1")),
        (
            "rediss+cluster://:pw@a,b:7000/?ssl_ca_certs=/x",
            RedisAddress(
                "rediss://:pw@cluster?ssl_ca_certs=/x", "cluster", (("a", 6379), ("b", 7000))
            ),
        ),
        (
            "valkey+sentinel://a:1,[::1]/main/2?socket_timeout=3",
            RedisAddress(
                "redis://sentinel/2?socket_timeout=3",
                "sentinel",
                (("a", 1), ("::1", 26379)),
                "main",
            ),
        ),
        (
            "redis+sentinel://a/main",
            RedisAddress("redis://sentinel/", "sentinel", (("a", 26379),), "main"),
        ),
    ],
)
def test_a_url_says_what_it_is_of(url: str, address: RedisAddress) -> None:
    assert is_redis_url(url)
    assert read_redis_url(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://secret@x", "begins with redis://"),
        ("redis+ring://secret@x", "begins with redis://"),
        ("redis://host:port", "."),
        ("redis://host?socket_timout=1&password=secret", "unknown to redis-py.*socket_timout"),
        ("redis+cluster://a?socket_timout=1&password=secret", "unknown to redis-py.*socket_timout"),
        ("redis+sentinel://a/m?socket_timout=1", "unknown to redis-py.*socket_timout"),
        ("redis+cluster://:secret@a/1", "a cluster has no databases"),
        ("redis+sentinel://:secret@a", "the name of the master is missing"),
        ("redis+cluster://:secret@a,,b", "'' in the URL is not host:port"),
        ("redis+cluster://:secret@a:x", "'a:x' in the URL is not host:port"),
        ("redis://:secret/x@host:1/0", "/ is written %2F"),
        ("redis://:secret?x@host:1/0", "/ is written %2F"),
        ("redis://:se#cretsecret@host:1/0", "# %23"),
        ("redis+sentinel://me:secret/x@a/main", "/ is written %2F"),
    ],
)
def test_what_is_no_url_of_a_redis_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        RedisClients(url, wanted_by="a test")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        ("rediss://me:secret@host:1/2", "rediss://host:1/2"),
        ("redis://host?password=secret&db=3", "redis://host?db=3"),
        (
            "valkey+cluster://:secret@a,[::1]:7000/?socket_timeout=3",
            "valkey+cluster://a,[::1]:7000/",
        ),
        ("redis+sentinel://:secret@a:1,[::1]:2/main/0", "redis+sentinel://a:1,[::1]:2/main/0"),
        ("unix:///tmp/x?db=1&password=secret", "unix:///tmp/x?db=1"),
        ("unix://:secret/with@more@/tmp/x", "unix:///tmp/x"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    read_redis_url(url)
    assert shown_redis_url(url) == shown


def test_other_urls_are_not_taken_for_one() -> None:
    assert not is_redis_url("memory://")
    assert not is_redis_url("redis")
    assert not is_redis_url("redissimo://x")
