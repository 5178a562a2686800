"""Where connections are kept, by what the user names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mcp_mount.auth.authorization.connections import ConnectionStore
from mcp_mount.backends.redis_urls import is_redis_url
from mcp_mount.schemas.functions import DefinitionError


def store_of(store: Any) -> ConnectionStore:
    """The store that `store=` names.

    Args:
        store: A URL of Redis or Valkey, a store, or a function that opens a DB-API connection.

    Raises:
        DefinitionError: For anything else.
    """
    if isinstance(store, ConnectionStore):
        return store
    if isinstance(store, str) and is_redis_url(store):
        kind = import_module("mcp_mount.auth.authorization.redis_connections")
        made: ConnectionStore = kind.RedisConnections(store)
        return made
    # Connections of some databases can be called, too (sqlite3). One would serve all threads.
    if callable(store) and not hasattr(store, "cursor"):
        kind = import_module("mcp_mount.auth.authorization.database_connections")
        kept: ConnectionStore = kind.DatabaseConnections(store)
        return kept
    # Not the rest of a URL, which may have a password.
    given = store.partition("://")[0] if isinstance(store, str) else store
    raise DefinitionError(
        "store= of SignIn is a URL such as 'redis://localhost', a function that opens a DB-API "
        f"connection, or a ConnectionStore, not {given!r}"
    )
