"""The Redis that a project has for its caches, for the backplane of its servers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings

from mcp_mount.backends.backplane import check_backplane
from mcp_mount.backends.redis_urls import is_redis_url

_BACKENDS: Final = frozenset(
    {
        "django.core.cache.backends.redis.RedisCache",
        "django_redis.cache.RedisCache",
        "django_valkey.cache.ValkeyCache",
    }
)

_IN_URL: Final = {
    "db": "db",
    "DB": "db",
    "username": "username",
    "USERNAME": "username",
    "password": "password",
    "PASSWORD": "password",
}
"""Options of these backends that a URL can say, by their names."""

_ASIDE: Final = frozenset({"CLIENT_CLASS", "COMPRESSOR", "SERIALIZER", "IGNORE_EXCEPTIONS"})
"""Options that do not say how to connect."""


def redis_url() -> str | None:
    """The URL of the cache "default" of CACHES, where it is in Redis or Valkey; None elsewhere, and
    where the cache has options that a URL cannot say."""
    cache: Mapping[str, Any] = settings.CACHES.get("default", {})
    if cache.get("BACKEND") not in _BACKENDS or find_spec("redis") is None:
        return None
    location = cache.get("LOCATION", "")
    # The first one is the primary; the others are replicas, which cannot be written to.
    first = location if isinstance(location, str) else next(iter(location), "")
    url = first.replace(";", ",").split(",")[0].strip()
    options = dict(cache.get("OPTIONS", {}))
    query = {
        _IN_URL[name]: options.pop(name)
        for name in list(options)
        if name in _IN_URL and options[name] is not None
    }
    if not is_redis_url(url) or set(options) - _ASIDE:
        return None
    if query:
        url = f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
    try:
        check_backplane("CACHES", url)
    except ValueError:
        return None
    return url
