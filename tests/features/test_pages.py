"""Pages of MCP Apps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcp_mount import DefinitionError, MCPRouter, MCPServer, SyncContext
from tests.requests import Session, ask, call

HTML = "<!doctype html><title>Weather</title>"
PAGES = "io.modelcontextprotocol/ui"
TYPE = "text/html;profile=mcp-app"


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer("tests")
    router = MCPRouter()

    @router.page(
        "ui://weather/view",
        connect=["https://api.example.org"],
        resources=["https://*.example.net"],
        permissions=["geolocation", "clipboard-write"],
        border=False,
        ttl_ms=5,
    )
    def view() -> str:
        """The weather as a map."""
        return HTML

    @router.tool(page="ui://weather/view")
    def weather(ctx: SyncContext) -> str:
        return "shown" if ctx.shows_pages else "Rain"

    @router.tool(page="ui://weather/view", app_only=True, meta={"own": 1})
    def refresh() -> str:
        return "Sun"

    server.include_router(router)
    return server


UI = {
    "csp": {
        "connectDomains": ["https://api.example.org"],
        "resourceDomains": ["https://*.example.net"],
    },
    "permissions": {"geolocation": {}, "clipboardWrite": {}},
    "prefersBorder": False,
}


def test_a_page_is_listed_and_read_with_what_it_may_do(server: MCPServer) -> None:
    assert ask(server, "resources/list")["result"]["resources"] == [
        {
            "uri": "ui://weather/view",
            "name": "view",
            "description": "The weather as a map.",
            "mimeType": TYPE,
            "_meta": {"ui": UI},
        }
    ]
    read = ask(server, "resources/read", {"uri": "ui://weather/view"})["result"]
    assert read["contents"] == [
        {"uri": "ui://weather/view", "mimeType": TYPE, "text": HTML, "_meta": {"ui": UI}}
    ]
    assert read["ttlMs"] == 5


def test_tools_name_their_page_and_who_sees_them(server: MCPServer) -> None:
    tools = {tool["name"]: tool["_meta"] for tool in ask(server, "tools/list")["result"]["tools"]}
    assert tools == {
        "weather": {"ui": {"resourceUri": "ui://weather/view"}},
        "refresh": {
            "ui": {"resourceUri": "ui://weather/view", "visibility": ["app"]},
            "own": 1,
        },
    }
    assert call(server, "refresh")["content"][0]["text"] == "Sun"


def test_the_extension_is_declared_once_there_is_a_page(server: MCPServer) -> None:
    extensions = ask(server, "server/discover")["result"]["capabilities"]["extensions"]
    assert extensions[PAGES] == {}
    other = ask(MCPServer("tests"), "server/discover")["result"]["capabilities"]["extensions"]
    assert PAGES not in other


@pytest.mark.parametrize(
    ("capabilities", "text"),
    [
        ({"extensions": {PAGES: {"mimeTypes": [TYPE]}}}, "shown"),
        ({"extensions": {PAGES: {"mimeTypes": ["text/plain"]}}}, "Rain"),
        ({"extensions": {PAGES: {}}}, "Rain"),
        ({"extensions": []}, "Rain"),
        ({}, "Rain"),
    ],
)
def test_a_tool_knows_whether_its_page_is_shown(
    server: MCPServer, capabilities: Any, text: str
) -> None:
    result = Session(server, "2025-11-25", capabilities).call("weather")
    assert result["content"][0]["text"] == text


def test_a_page_of_a_text_or_a_file(tmp_path: Path) -> None:
    server = MCPServer("tests")
    file = tmp_path / "page.html"
    file.write_text(HTML, encoding="utf-8")
    server.add_page("ui://text", "<p>text</p>", title="Text")
    server.add_page("ui://file", file)

    def text(uri: str) -> str:
        read: str = ask(server, "resources/read", {"uri": uri})["result"]["contents"][0]["text"]
        return read

    assert (text("ui://text"), text("ui://file")) == ("<p>text</p>", HTML)
    listed = ask(server, "resources/list")["result"]["resources"]
    assert [one["name"] for one in listed] == ["text", "file"]


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("https://x", {}, "begins with ui://"),
        ("ui://x", {"permissions": ["usb"]}, "no page can be permitted usb"),
        ("ui://x", {"connect": ["example.org"]}, "no origin"),
        ("ui://x", {"resources": ["https://a; script-src *"]}, "no origin"),
    ],
)
def test_a_page_that_cannot_be_one_is_refused(
    uri: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        MCPServer("tests").page(uri, **options)(lambda: HTML)


def test_a_tool_names_a_page_by_its_uri() -> None:
    with pytest.raises(DefinitionError, match="must be the ui://"):
        MCPServer("tests").tool(name="x", page="page.html")(lambda: "x")
