"""What users give for a backplane: a URL, or an object of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcp_mount.backends.backplane.memory import MemoryBackplane
from mcp_mount.backends.redis_urls import is_redis_url
from mcp_mount.calls.backplane import Backplane, SessionStates
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.values import like

_MEMORY = "memory://"


def check_backplane(name: str, value: Any) -> str | SessionStates:
    """A check of the option.

    Args:
        name: Of the option.
        value: What the user gave. It is not shown: a URL may have a password.

    Raises:
        DefinitionError: If it is neither a URL nor a backplane.
        ValueError: If the URL is of another kind.
        MissingExtra: If its library is not installed.
    """
    if isinstance(value, str):
        if value != _MEMORY and not is_redis_url(value):
            scheme, mark, _ = value.partition("://")
            is_url = bool(scheme and mark)
            what = f"a URL that begins with {scheme}://" if is_url else "a text without a scheme"
            raise ValueError(
                f"{name} is memory:// or the URL of a Redis or Valkey server, such as "
                f"redis://localhost:6379/0, not {what}"
            )
        try:
            backplane_of(value, lambda: "")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return value
    kind = Backplane if is_shared(value) else SessionStates
    check = like(kind, "the URL of a Redis, or a Backplane")
    states: SessionStates = check(name, value)
    return states


def is_shared(given: Any) -> bool:
    """Whether a backplane, as `check_backplane` returns it, is that of several processes."""
    return given is not None and given != _MEMORY and getattr(given, "shared", True) is not False


def backplane_of(given: str | SessionStates | None, server: Callable[[], str]) -> SessionStates:
    """The backplane at a URL.

    Args:
        given: As `check_backplane` returns it; None for one in this process.
        server: Returns the name of the server.
    """
    if given is None or given == _MEMORY:
        return MemoryBackplane()
    if not isinstance(given, str):
        return given
    with requires("redis", f"backplane={given.partition('://')[0]!r}"):
        from mcp_mount.backends.backplane.redis import RedisBackplane
    return RedisBackplane(given, server)


def store_url(given: str | SessionStates | None) -> str | None:
    """Where a server with this backplane keeps counts and results, if the user does not say.

    Args:
        given: As `check_backplane` returns it.
    """
    return given if isinstance(given, str) else None
