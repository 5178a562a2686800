"""What users give for a backplane."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from mcp_mount import MCPServer
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.backplane.redis import RedisBackplane
from mcp_mount.backends.redis_store import RedisStore
from mcp_mount.backends.stores import MemoryStore
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount_flask import MCPMount

URL = "redis://localhost:1/0"


def kinds(server: MCPServer) -> tuple[type, type]:
    return type(server.core._peers.states), type(server.core.store)


@pytest.mark.parametrize("url", [URL, "valkey://localhost:1", "rediss://:secret@localhost:1/3"])
def test_the_store_is_where_the_backplane_is_unless_told_otherwise(url: str) -> None:
    assert kinds(MCPServer(backplane=url)) == (RedisBackplane, RedisStore)
    assert kinds(MCPServer(backplane=url, store="memory://")) == (RedisBackplane, MemoryStore)
    assert kinds(MCPServer(backplane="memory://")) == (MemoryBackplane, MemoryStore)
    server = MCPServer(store="memory://")
    server.configure(backplane=url)
    assert kinds(server) == (RedisBackplane, MemoryStore)


def test_flasks_configuration_names_the_backplane() -> None:
    app = Flask("shop")
    app.config["MCP_BACKPLANE"] = URL
    assert kinds(MCPMount(app, "/mcp").server) == (RedisBackplane, RedisStore)


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://ada:secret@localhost/shop",
        "redis://ada:secret@localhost/0?nonsense=1",
        "redis:secret",
        {"url": "redis://ada:secret@localhost"},
    ],
)
def test_an_error_names_the_option_and_shows_no_password(given: Any) -> None:
    with pytest.raises((DefinitionError, ValueError), match="backplane") as error:
        MCPServer(backplane=given)
    assert "secret" not in str(error.value)
