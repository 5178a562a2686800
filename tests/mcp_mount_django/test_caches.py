"""The backplane of a project is in the Redis of its cache."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.backplane.redis import RedisBackplane

pytestmark = pytest.mark.usefixtures("project")

REDIS = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
DJANGO_VALKEY = "django_valkey.cache.ValkeyCache"
URL = "redis://cache.example:6379/1"


def caches(backend: str, location: Any, **options: Any) -> Any:
    default = {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}
    return override_settings(CACHES={"default": default})


@pytest.mark.parametrize(
    ("backend", "location", "options", "expected"),
    [
        (REDIS, URL, {}, URL),
        (REDIS, [URL, "redis://replica.example"], {}, URL),
        (REDIS, f"{URL};redis://replica.example", {}, URL),
        (REDIS, URL, {"db": 3, "password": "a&b"}, f"{URL}?db=3&password=a%26b"),
        (DJANGO_REDIS, URL, {"CLIENT_CLASS": "x", "PASSWORD": "p"}, f"{URL}?password=p"),
        (DJANGO_VALKEY, "valkey://cache.example", {}, "valkey://cache.example"),
        (REDIS, URL, {"connection_class": "x"}, None),
        (REDIS, "localhost", {}, None),
        ("django.core.cache.backends.locmem.LocMemCache", "", {}, None),
    ],
)
def test_the_url_is_that_of_the_cache(
    backend: str, location: Any, options: dict[str, Any], expected: str | None
) -> None:
    from mcp_mount_django.caches import redis_url

    with caches(backend, location, **options):
        assert redis_url() == expected


def test_a_server_takes_it_unless_told_otherwise() -> None:
    from mcp_mount_django import MCPServer

    with caches(REDIS, URL):
        assert isinstance(MCPServer("shop").core._peers.states, RedisBackplane)
        apart = MCPServer("apart", backplane="memory://")
        assert isinstance(apart.core._peers.states, MemoryBackplane)
        with override_settings(MCP_MOUNT={"BACKPLANE": "memory://", "OPEN": True}):
            assert isinstance(MCPServer("other").core._peers.states, MemoryBackplane)
    assert isinstance(MCPServer("without").core._peers.states, MemoryBackplane)
