"""Options that change when the server has been made: all of a change, or none of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from flask import Flask

from mcp_mount import Audit, DefinitionError, MCPServer
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.backends.backplane import MemoryBackplane
from mcp_mount.backends.stores import MemoryStore
from mcp_mount.calls.call import Call
from mcp_mount.policies import Throttle
from mcp_mount.testing import Client
from mcp_mount_flask import MCPMount

KEY = "k" * 32

FIT: dict[str, Any] = {
    **{"name": "new", "version": "2", "page_size": 7, "auth_required": False, "timeout": 4},
    **{"description": "New", "scopes": "orders", "log_calls": True, "caller": lambda request: "x"},
}
"""Options of every part of a server, which it may have."""


def double(number: int) -> int:
    return 2 * number


def build(**options: Any) -> MCPServer:
    server = MCPServer("shop", open=True, **options)
    server.add_tool(double)
    return server


def noting(name: str, told: list[str]) -> Callable[[Call], Any]:
    def note(call: Call) -> Any:
        told.append(name)
        return (yield)

    return note


def state_of(server: MCPServer) -> list[Any]:
    """All that a change of options may touch."""
    core, settings = server.core, server.core.protocol.settings
    named = [getattr(settings, name) for name in ("name", "version", "page_size", "rules", "auth")]
    return [
        *named,
        *(dict(core.values), core.store, core.resource_server, core.tasks.limits),
        *(server.title, server.version, server.description),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"permission": 5},
        {"timeout": "soon"},
        {"store": "foo://x"},
        {"store": "redis://host:port"},
        {"resource": "http://shop.example/mcp"},
        {"call_middleware": 5},
        {"page_size": 0},
        {"backplane": "http://x"},
        {"telemetry": "yes"},
    ],
)
def test_a_change_that_is_refused_changes_nothing(wrong: dict[str, Any]) -> None:
    server = build(auth=APIKeys([APIKey("ada", KEY)]), permission=lambda request: True)
    before = state_of(server)
    with pytest.raises((DefinitionError, ValueError)):
        server.configure(**{**FIT, **wrong})
    assert state_of(server) == before
    with Client(server, token=KEY) as client:
        assert client.call_tool("double", {"number": 2}).data == 4
    # What was refused is not remembered either.
    server.configure(timeout=4)


@pytest.mark.parametrize("permission", [5, "admin", lambda: True])
def test_a_refused_configuration_of_one_application_is_not_that_of_the_next(
    permission: Any,
) -> None:
    mcp = MCPMount()
    mcp.tool(double)
    wrong, right = Flask("wrong"), Flask("right")
    wrong.config.update(MCP_PERMISSION=permission, MCP_NAME="wrong")
    with pytest.raises(DefinitionError, match="permission"):
        mcp.init_app(wrong)
    assert not mcp.server.core.is_attached
    mcp.init_app(right)
    assert mcp.title == "flask"
    with Client(right) as client:
        assert client.call_tool("double", {"number": 2}).data == 4


def test_a_policy_that_changes_after_a_call_holds_from_then_on() -> None:
    server, told = build(), list[str]()
    with Client(server) as client:
        assert client.call_tool("double", {"number": 1}).data == 2
        server.configure(throttle="1/hour", call_middleware=noting("configured", told))
        assert client.call_tool("double", {"number": 1}).data == 2
        refused = client.call_tool("double", {"number": 1})
        assert (refused.is_error, told) == (True, ["configured"] * 2)
        assert "too often" in refused.text
        server.configure(throttle=None)
        assert client.call_tool("double", {"number": 1}).data == 2


def test_counts_go_on_when_another_option_changes() -> None:
    server = build(throttle=Throttle("1/hour"))
    with Client(server) as client:
        assert not client.call_tool("double", {"number": 1}).is_error
        server.configure(timeout=5)
        assert client.call_tool("double", {"number": 1}).is_error


def test_what_watches_calls_and_keeps_results_changes_after_a_call(caplog: Any) -> None:
    server, seen, runs = build(), list[str](), list[int]()

    @server.tool(cache=60)
    def counted() -> int:
        runs.append(1)
        return len(runs)

    with Client(server) as client, caplog.at_level(logging.INFO, "mcp_mount.calls"):
        assert [client.call_tool("counted").data for _ in range(2)] == [1, 1]
        caplog.clear()
        server.configure(
            log_calls=True,
            audit=Audit(after=lambda record: seen.append(record.name)),
            store=MemoryStore(),
        )
        assert client.call_tool("counted").data == 2
    assert seen == ["counted"]
    assert [one.split(" by ")[0] for one in caplog.messages] == ["tools/call counted"]


def test_configured_call_middleware_replaces_none_that_was_added() -> None:
    told = list[str]()
    server = build(call_middleware=noting("given", told))
    server.call_middleware(noting("added", told))
    server.configure(call_middleware=noting("configured", told))
    with Client(server) as client:
        client.call_tool("double", {"number": 1})
        assert told == ["configured", "added"]
        told.clear()
        server.configure(call_middleware=())
        client.call_tool("double", {"number": 1})
        assert told == ["added"]


def test_the_http_side_is_described_as_the_configuration_says() -> None:
    app = Flask("shop")
    app.config.update(MCP_NAME="orders", MCP_VERSION="2.0", MCP_DESCRIPTION="All orders.")
    mcp = MCPMount(app, "/mcp")
    wanted = {"title": "orders", "version": "2.0", "description": "All orders."}
    assert mcp.server.openapi()["info"] == wanted
    # Nor does a document that was made before stay as it was.
    mcp.server.configure(version="3.0", description=None)
    assert mcp.server.openapi()["info"] == {"title": "orders", "version": "3.0"}
    server = MCPServer("shop", docs=True)
    assert TestClient(server).get("/openapi.json").json()["info"]["version"] == "0.1.0"
    server.configure(version="4.0")
    assert TestClient(server).get("/openapi.json").json()["info"]["version"] == "4.0"


def test_a_backplane_without_entries_is_one() -> None:
    class Counted(MemoryBackplane):
        def __len__(self) -> int:
            return 0

    first, second = Counted(), Counted()
    server = MCPServer("shop", backplane=first)
    assert server.core._peers.states is first
    server.configure(backplane=second)
    assert server.core._peers.states is second


@pytest.mark.parametrize("option", ["path", "debug", "docs_url"])
def test_what_is_given_when_a_server_is_made_is_told_as_such(option: str) -> None:
    given: dict[str, Any] = {option: "/x"}
    with pytest.raises(DefinitionError, match=rf"when the server is made: MCPServer\({option}=…\)"):
        MCPServer("shop").configure(**given)
