"""Servers of one application that have the same keys on a backplane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount

import mcp_mount
import mcp_mount_fastapi
import mcp_mount_starlette
from mcp_mount import DefinitionError, MCPServer
from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount
from tests.protocol.test_backplanes import Remote

URL = "redis://127.0.0.1:1/0"
PROBLEM = "two servers have the name 'shop' and the same backplane.*give one of them another name="

Servers = tuple[MCPServer, MCPServer]


def in_flask(one: MCPServer, other: MCPServer) -> None:
    app = Flask(__name__)
    MCPMount(app, "/one", one)
    MCPMount(app, "/other", other)


def in_starlette(one: MCPServer, other: MCPServer) -> None:
    app = Starlette()
    mcp_mount_starlette.mount(app, "/one", one)
    mcp_mount_starlette.mount(app, "/other", other)


def in_routes_of_starlette(one: MCPServer, other: MCPServer) -> None:
    app = Starlette(routes=[mcp_mount_starlette.MCPMount("/one", one)])
    mcp_mount_starlette.mount(app, "/other", other)


def in_fastapi(one: MCPServer, other: MCPServer) -> None:
    app = FastAPI()
    mcp_mount_fastapi.mount(app, "/one", one)
    mcp_mount_fastapi.mount(app, "/other", other)


def in_front_of_wsgi(one: MCPServer, other: MCPServer) -> None:
    mcp_mount.mount_wsgi(mcp_mount.mount_wsgi(Flask(__name__), "/one", one), "/other", other)


def in_front_of_asgi(one: MCPServer, other: MCPServer) -> None:
    mcp_mount.mount_asgi(mcp_mount.mount_asgi(Starlette(), "/one", one), "/other", other)


HOSTS: list[Callable[[MCPServer, MCPServer], None]] = [
    in_flask,
    in_starlette,
    in_routes_of_starlette,
    in_fastapi,
    in_front_of_wsgi,
    in_front_of_asgi,
]

backplane = Remote()


def server(name: str, given: Any) -> MCPServer:
    return MCPServer(name, secret_key="k", backplane=given, open=True)


hosts = pytest.mark.parametrize("mount", HOSTS)


@hosts
@pytest.mark.parametrize("given", [URL, backplane], ids=["url", "object"])
def test_two_servers_of_one_name_and_backplane_are_refused(
    mount: Callable[[MCPServer, MCPServer], None], given: Any
) -> None:
    with pytest.raises(DefinitionError, match=PROBLEM):
        mount(server("shop", given), server("shop", given))


APART: dict[str, Callable[[], Servers]] = {
    "names": lambda: (server("shop", URL), server("till", URL)),
    "databases": lambda: (server("shop", URL), server("shop", URL[:-1] + "1")),
    "objects": lambda: (server("shop", Remote()), server("shop", Remote())),
    "memory": lambda: (server("shop", "memory://"), server("shop", "memory://")),
    "none": lambda: (server("shop", None), server("shop", None)),
}


@hosts
@pytest.mark.parametrize("make", APART.values(), ids=APART)
def test_servers_that_share_nothing_are_mounted(
    mount: Callable[[MCPServer, MCPServer], None], make: Callable[[], Servers]
) -> None:
    mount(*make())


@hosts
def test_one_server_may_have_two_mount_points(
    mount: Callable[[MCPServer, MCPServer], None],
) -> None:
    one = server("shop", URL)
    mount(one, one)


def test_a_configuration_that_names_two_servers_is_refused() -> None:
    app = Flask(__name__)
    app.config.update(MCP_NAME="shop", MCP_BACKPLANE=URL)
    MCPMount(app, "/one", secret_key="k", open=True)
    other = MCPMount(path="/other", name="till", secret_key="k", open=True)
    with pytest.raises(DefinitionError, match=PROBLEM):
        other.init_app(app)
    assert other.server.title == "till"


def test_servers_that_are_mounted_by_hand_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    one, other = server("by hand", backplane), server("by hand", backplane)
    Starlette(routes=[Mount("/one", one), Mount("/other", other)])
    for each in (one, other):
        with Client(each) as client:
            client.list_tools()
    [warned] = [one.message for one in caplog.records if "the same backplane" in one.message]
    assert warned.startswith("In this process two servers have the name 'by hand'")
